"""Strips and heatmap of compactor norms: every dim in its place, in the colour of its norm."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from app.elements.theme import DARK, LIGHT, rgb
from app.watch.compactor_norms import CompactorNorms, read_compactor_norms
from app.watch.norm_charts import norm_heatmap, norm_scale, norm_strips
from tests.fixtures.pictured_run import NAMES, group, packed, picture

HOSTILE = "<img src=x onerror=alert(1)>\"'&"


def read(*groups) -> CompactorNorms:
    """A picture of `groups`."""
    return read_compactor_norms([{**picture(0), "groups": list(groups)}])[0]


def images(html: str) -> list[np.ndarray]:
    """The images in `html` as (width, 3) arrays of their one row."""
    found = re.findall(r'src="data:image/png;base64,([^"]+)"', html)
    return [np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))[0] for data in found]


def brightness(colour: str) -> float:
    """Relative luminance, 0 to 1 (WCAG)."""
    parts = np.array(rgb(colour)) / 255
    return float(np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4) @ [0.2126, 0.7152, 0.0722])


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_strips_show_every_norm_in_its_place(colours) -> None:
    """Harm: a dim that closed is drawn as open, or another one in its stead."""
    norms = [0, 1, 1, 0, 1.5, 2.5, 0.5, 1]
    (row,) = images(norm_strips(read(group("residual", 0, norms=packed(np.array(norms)))), colours))
    pixels = row.reshape(8, -1, 3)
    assert (pixels == pixels[:, :1]).all()
    shown = ["#" + bytes(pixel).hex() for pixel in pixels[:, 0]]
    assert shown[0] == shown[3] == colours.closed
    assert shown[1] == shown[2] == shown[7] == colours.student
    assert shown[4] == shown[5] == norm_scale(colours)[-1][1]
    assert brightness(colours.closed) < brightness(shown[6]) < brightness(colours.student) < brightness(shown[4])


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_closed_is_dark_on_either_paper(colours) -> None:
    """Harm: in one of the themes a closed dim looks like an open one."""
    contrast = (brightness(colours.student) + 0.05) / (brightness(colours.closed) + 0.05)
    assert contrast > 3


def test_strips_of_all_sizes_name_their_groups_and_count_their_dims() -> None:
    """Harm: a strip has the name or the numbers of its neighbour."""
    html = norm_strips(read_compactor_norms([picture(10)])[0], LIGHT)
    assert len(images(html)) == len(NAMES)
    assert re.findall(r'alt="([^:"]+): (\d+) of (\d+) dims kept', html)[:3] == [
        ("residual", "6", "8"),
        ("layer 1 attention", "6", "8"),
        ("layer 1 FFN", "12", "16"),
    ]


def test_a_scale_says_what_the_colours_mean() -> None:
    """Harm: people take dark for strong."""
    html = norm_strips(read_compactor_norms([picture(10)])[0], LIGHT)
    assert html.index("closed") < html.index("as the teacher's") < html.index("1.5 ×")


def test_a_wide_group_fits() -> None:
    """Harm: BERT-base's FFN makes a page of megabytes, or its strip loses dims."""
    norms = np.tile([1.0, 0.0], 384)
    wide = read(*[group(f"ffn {layer}", 0, full=3072, norms=packed(norms)) for layer in range(12)])
    html = norm_strips(wide, DARK)
    assert len(html) < 60_000
    assert all(len(np.unique(row, axis=0)) == 2 for row in images(html))


def test_the_heatmap_tells_group_dim_and_norm() -> None:
    """Harm: what the pointer says is not what lies under it."""
    figure = norm_heatmap(read(group("residual", 0), group("ffn 0", 0, norms=packed(np.linspace(0, 1, 16)))), DARK)
    ffn = figure.data[1]
    np.testing.assert_allclose(np.asarray(ffn.z)[0], np.linspace(0, 1, 16), atol=0.0051)
    np.testing.assert_allclose(ffn.x, np.arange(17) / 16)
    assert [first for first, _ in ffn.customdata[0]] == list(range(1, 17))
    assert ffn.hovertemplate.startswith("layer 1 FFN, dim %{customdata[0]}: norm %{z")
    assert figure.data[0].y[1] <= ffn.y[0]
    assert list(figure.layout.yaxis.ticktext) == ["residual", "layer 1 FFN"]
    for trace, middle in zip(figure.data, figure.layout.yaxis.tickvals, strict=True):
        assert trace.y[0] < middle < trace.y[1]


def test_all_groups_and_steps_share_one_scale() -> None:
    """Harm: a group that has shrunk as a whole looks as long as ever."""
    for step in (0, 40):
        figure = norm_heatmap(read_compactor_norms([picture(step)])[0], LIGHT)
        assert {trace.coloraxis for trace in figure.data} == {"coloraxis"}
        assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (0, 1.5)


def test_a_hostile_name_stays_text() -> None:
    """Harm: a run's folder from somebody else runs a script in the page."""
    hostile = read(group("residual", 0, name=HOSTILE, kind=HOSTILE))
    html = norm_strips(hostile, LIGHT)
    assert "<img src=x" not in html
    assert 'onerror=alert(1)>"' not in html
    assert html.count("<img ") == 1
    figure = norm_heatmap(hostile, LIGHT)
    assert not any("<img" in text for text in (figure.layout.yaxis.ticktext[0], figure.data[0].hovertemplate))
