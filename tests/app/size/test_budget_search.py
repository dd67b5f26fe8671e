"""Shapes for a budget of any kind, one click from the model. Run without a browser."""

import pytest

from engine.sizing.comparison import Comparison
from tests.fixtures.page_reading import by_label
from tests.fixtures.size_page import FOUR, count, opened


def test_backwards_puts_a_shape_into_the_model() -> None:
    """Harm: a found shape has to be typed by hand."""
    page = opened(Comparison(FOUR.configurations[:2], tab="backwards", budget="11M"))
    assert any("12 × 192" in text.value for text in page.markdown)
    next(button for button in page.button if button.label == "Use").click().run()
    assert count(page) == 11_365_626
    by_label(page.text_input, "Budget").set_value("much").run()
    assert "number with a unit" in page.warning[0].value


@pytest.mark.parametrize("kind", ["bytes", "flops", "latency"])
def test_every_kind_of_budget_answers(kind: str) -> None:
    """Harm: a budget that can be chosen and answers nothing."""
    page = opened(Comparison(FOUR.configurations[:2], tab="backwards", device="h100"))
    by_label(page.segmented_control, "A budget of").set_value(kind).run()
    assert not page.exception
    assert [button for button in page.button if button.label == "Use"]


def test_a_late_press_means_what_was_shown() -> None:
    """Harm: while the list is made anew, a press on a shape takes the one that has come to its place."""
    page = opened(Comparison(FOUR.configurations[:2], tab="backwards", budget="11M"))
    before = [button.key for button in page.button if button.label == "Use"]
    by_label(page.text_input, "Budget").set_value("30M").run()
    after = [button.key for button in page.button if button.label == "Use"]
    assert before
    assert after
    assert not set(before) & set(after)
