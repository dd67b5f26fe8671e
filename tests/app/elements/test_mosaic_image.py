"""Film pictures: every pixel is the attention it stands for, on one scale, and words from files stay words."""

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from app.elements.mosaic_image import GAP, contact_sheet, film_strip, half_size, large_image, mosaic_png
from app.elements.theme import DARK, LIGHT, rgb


def pixels(png: bytes) -> np.ndarray:
    """The picture as (height, width, 3)."""
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))


@pytest.mark.parametrize("colours", [LIGHT, DARK])
@pytest.mark.parametrize("role", ["teacher", "student"])
def test_a_pixel_is_the_attention_it_stands_for(colours, role):
    """Harm: rows for columns, a head in another's place, or teacher and student on two scales."""
    layers = [np.zeros((2, 3, 3), np.uint8), np.zeros((1, 3, 3), np.uint8)]
    layers[0][1, 0, 2] = 255
    layers[1][0, 2, 1] = 100
    found = pixels(mosaic_png(layers, role, colours))
    assert found.shape == (6 + GAP, 6 + GAP, 3)
    assert tuple(found[0, 3 + GAP + 2]) == rgb(colours.role(role))
    assert tuple(found[0, 0]) == rgb(colours.empty)
    assert tuple(found[0, 3]) == rgb(colours.grid)  # between two heads
    assert tuple(found[-1, -1]) == rgb(colours.grid)  # where the second layer has no head
    half = found[3 + GAP + 2, 1].astype(int)
    assert np.abs(half - rgb(colours.tint(role, (100 / 254) ** 0.6))).max() <= 4
    assert (found == rgb(colours.empty)).all(-1).sum() == 3 * 9 - 2


def test_the_small_picture_loses_no_peak():
    """Harm: a head that looks at one word is a blank square in the strip."""
    heads = np.zeros((1, 5, 5), np.uint8)
    heads[0, 4, 1] = 9
    (found,) = half_size([heads])
    assert found.shape == (1, 3, 3)
    assert found[0, 2, 0] == 9
    assert found.sum() == 9


def test_words_stay_words():
    """Harm: what somebody wrote into a snapshot's file runs in the page."""
    png = mosaic_png([np.zeros((1, 2, 2), np.uint8)], "student", LIGHT)
    for html in (film_strip([('<script>"', png)], 0, LIGHT, '"><b>'), large_image(png, '"><b>')):
        assert "<script" not in html
        assert "<b>" not in html


def test_a_sheet_holds_every_picture_by_itself():
    """Harm: the film that was saved is empty without the page, cuts a picture off, or runs a file's words."""
    png = mosaic_png([np.zeros((2, 2, 2), np.uint8)], "student", LIGHT)  # twice as wide as high, and the gap
    root = ET.fromstring(contact_sheet([("<b>&", png), ("1", png), ("2", png)], 2, 60, LIGHT))
    images = [part for part in root.iter() if part.tag.endswith("image")]
    assert [part.text for part in root.iter() if part.tag.endswith("text")] == ["<b>&", "1", "2"]
    assert all(image.get("href").startswith("data:image/png;base64,") for image in images)
    wide, high = float(root.get("width")), float(root.get("height"))
    boxes = [[float(image.get(name)) for name in ("x", "y", "width", "height")] for image in images]
    assert len({(x, y) for x, y, _, _ in boxes}) == 3
    assert all(x + w < wide and y + h < high and h == 20 for x, y, w, h in boxes)
