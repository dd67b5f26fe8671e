"""The film of a run on the examine page: every picture, and numbers that are the pictures'. Run without a browser."""

import pytest

from app.examine import film
from engine.inheritance.curve import read_inheritance_curve
from engine.storage.attention_frames import read_frames
from tests.fixtures.page_reading import words


def test_the_film_shows_every_picture_and_a_curve(page, made):
    """Harm: what a run kept all along cannot be looked at."""
    told = " ".join(str(html.proto.body) for html in page.get("html"))
    for step in (0, 10, 20):
        assert f"{step}: " in told
    assert told.count("data:image/png;base64,") == 2 + 3
    curve = read_inheritance_curve(made[1])
    assert curve.axes["steps"] == [0, 10, 20]
    assert curve.axes["seconds"][0] == 0
    assert curve.axes["seconds"][1] <= curve.axes["seconds"][2]
    slider = page.select_slider(key=f"film_step_{made[1].id}")
    slider.set_value(0).run()
    assert "after 0 steps" in words(page)
    assert not page.exception
    labels = [button.proto.label for button in page.get("download_button")]
    assert {"These two as SVG", "The film as SVG"} <= set(labels)


def test_the_films_numbers_are_the_snapshots(made):
    """Harm: the numbers that somebody saves are another step's, another sentence's, or the teacher's twice."""
    kept, found = read_frames(made[1].attention_dir), {}
    for model, layer, head, source, _, target, _, share in film._attention_rows(made[1], 1, 20):
        found.setdefault(model, {})[layer - 1, head - 1, source, target] = float(share)
    for name, maps in (("teacher", kept.teacher(1)), ("student", kept.student(20, 1))):
        for place, share in found[name].items():
            assert share == pytest.approx(maps[place[0]][place[1:]] / 255, abs=6e-4)
        assert len(found[name]) == sum(one.size for one in maps)
