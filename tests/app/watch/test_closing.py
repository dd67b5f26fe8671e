"""Dims closing on the watch page: drawn, played back, and what it saves. Run without a browser."""

import pytest

from tests.fixtures.page_reading import html, titles
from tests.fixtures.pictured_run import beginning
from tests.fixtures.watch_page import ENDED, PICTURES, STEPS


@pytest.mark.parametrize("at_work", [True, False])
def test_a_run_with_pictures_shows_its_dims_closing(watch, at_work) -> None:
    """Harm: the one thing this method is about cannot be seen."""
    page = watch([*beginning(), *STEPS, *PICTURES, *([] if at_work else [ENDED])], at_work=at_work)
    assert titles(page) == [
        "Dims closing",
        "Share of dims kept",
        "Time a step",
        "Multiply-adds, forward pass",
        "Training loss",
    ]
    assert "layer 2 FFN: 8 of 16 dims kept" in html(page)
    curves, groups = (it.value for it in page.dataframe)
    assert curves.set_index("step")["all groups kept, %"].dropna().to_dict() == {0: 100, 10: 75, 20: 50, 40: 50}
    assert curves["million multiply-adds a token"].dropna().tolist() == [9.0, 6.0, 3.0, 3.0]
    assert groups["kept"].tolist() == [4, 4, 8, 4, 8, 4]
    assert len(page.select_slider) == (0 if at_work else 1)


def test_the_film_goes_back_and_can_be_pointed_at(watch) -> None:
    """Harm: once the run has ended nobody can see how it came to that."""
    page = watch([*beginning(), *STEPS, *PICTURES, ENDED])
    page.select_slider[0].set_value(10).run()
    assert "layer 2 FFN: 12 of 16 dims kept" in html(page)
    assert not page.get("plotly_chart")
    page.toggle[0].set_value(True).run()
    assert len(page.get("plotly_chart")) == 1
    assert "dims kept" not in html(page)


@pytest.mark.parametrize("known", [None, {}, {"teacher": 6e6}, {"teacher": "much", "student": 2e6}, 7])
def test_without_reference_lines_there_is_no_picture_of_multiply_adds(watch, known) -> None:
    """Harm: a line without the two it must be compared with, or no page at all."""
    events = beginning()
    events[0]["multiply_adds_per_token"] = known
    page = watch([*events, *STEPS, *PICTURES, ENDED])
    assert "Multiply-adds, forward pass" not in titles(page)
    assert "Time a step" in titles(page)
