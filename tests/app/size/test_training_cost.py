"""What training costs, on the page: the same figures as in the terminal, and a link that keeps the choices."""

from engine.settings.amounts import format_number
from engine.sizing.comparison import Comparison
from engine.sizing.footprint import TrainingBatch
from engine.sizing.memory.step import StepPlan, step_memory
from engine.sizing.shape import Shape
from tests.fixtures.page_reading import by_label, html
from tests.fixtures.size_page import FOUR, opened


def test_the_page_shows_transformers_model_and_ours_beside_it() -> None:
    """Harm: people train transformers' model, and are shown the memory of another one."""
    text = html(opened(Comparison(FOUR.configurations[:2], tab="cost")))
    batch = TrainingBatch(32, 128)
    for plan in (StepPlan(), StepPlan(attention="eager"), StepPlan("ours")):
        assert format_number(step_memory(Shape(), batch, plan).peak, "B") in text
    assert "moment only" in text
    assert "memory, 32 sequences" in text


def test_choices_change_the_figures_and_go_into_the_link() -> None:
    """Harm: a choice that changes nothing, or is lost with the link."""
    page = opened(Comparison(FOUR.configurations[:2], tab="cost"))
    by_label(page.selectbox, "Optimizer").set_value("sgd").run()
    by_label(page.selectbox, "Gradient checkpointing").set_value("yes").run()
    by_label(page.number_input, "Micro-batches").set_value(4).run()
    by_label(page.number_input, "Devices").set_value(8).run()
    by_label(page.selectbox, "ZeRO").set_value(3).run()
    by_label(page.selectbox, "Trained on").set_value("cpu").run()
    assert not page.exception
    plan = StepPlan("transformers", "sdpa", "cpu", "sgd", True, 4, 3, 8)
    assert format_number(step_memory(Shape(), TrainingBatch(32, 128), plan).peak, "B") in html(page)
    assert "on each device" in html(page)
    link = page.query_params
    assert (link["optimizer"], link["zero"], link["devices"], link["micro"]) == ("sgd", "3", "8", "4")


def test_more_micro_batches_than_sequences_are_as_many_as_there_are() -> None:
    """Harm: a page that fails because a number was typed before another."""
    page = opened(Comparison(FOUR.configurations[:1], tab="cost", sequences=2, micro_batches=100))
    assert not page.exception


def test_a_model_that_transformers_cannot_build_is_ours_and_says_so() -> None:
    """Harm: a figure for a class that does not exist."""
    first = FOUR.configurations[0]
    odd = first.replace(name="Odd", fields={**first.fields, "head_dim": 32})
    page = opened(Comparison((first, odd), tab="cost"))
    assert any("heads fill the hidden width" in caption.value for caption in page.caption)
    assert "–" in html(page)
