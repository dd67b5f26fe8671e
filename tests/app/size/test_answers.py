"""The size page's answers: of several models, and of numbers that do not fit together. Run without a browser."""

import pytest

from engine.sizing.cost import parameters
from tests.fixtures.page_reading import by_label, html
from tests.fixtures.size_page import FOUR, count, opened


def test_heads_that_do_not_divide_are_explained_and_mended_by_a_click() -> None:
    """Harm: a refused shape, and nobody says what would do."""
    page = opened()
    by_label(page.number_input, "Heads, exact").set_value(11).run()
    assert "does not divide into 11 heads" in page.error[0].value.replace("\\", "")
    assert count(page) == 109_514_298  # the others go on being counted
    by_label(page.button, "Use 12 heads").click().run()
    assert not page.error
    assert count(page) == 33_391_290


@pytest.mark.parametrize("value", [0, -5, 10**12, 10**15])
@pytest.mark.parametrize("label", ["Layers, exact", "Width, exact", "Vocabulary"])
def test_slips_of_the_keyboard_are_answered_in_words(label: str, value: int) -> None:
    """Harm: one zero too many hangs the page, or shows a traceback."""
    page = opened()
    by_label(page.number_input, label).set_value(value).run()
    assert not page.exception
    assert f"{value:,}" in page.error[0].value.replace("\\", "")


def test_a_comparison_of_four() -> None:
    """Harm: four models do not stand side by side, or a fifth pushes one out."""
    page = opened(FOUR)
    text = html(page)
    for one in FOUR.configurations:
        assert f"{parameters(one.shape):,}" in text
        assert one.name in text
    assert by_label(page.button, "Duplicate").disabled
    by_label(page.button, "Remove").click().run()
    assert "54,735,294" not in html(page)
    by_label(page.button, "Duplicate").click().run()
    by_label(page.text_input, "Name").set_value("  A name\n of mine ").run()
    assert "A name of mine" in html(page)
