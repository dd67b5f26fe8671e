"""One run on the watch page: at work, ended, old or damaged. Run without a browser."""

from app.watch.run import budget_used
from tests.fixtures.page_reading import html, titles
from tests.fixtures.pictured_run import beginning, picture
from tests.fixtures.watch_page import ENDED, STEPS


def test_an_old_run_is_drawn_as_ever(watch) -> None:
    """Harm: what somebody trained last month cannot be looked at any more."""
    evaluation = {"kind": "evaluation", "step": 40, "accuracy": 0.5, "loss": 1.7}
    page = watch([*beginning(counted=False), *STEPS, evaluation, ENDED])
    assert titles(page) == ["Training loss", "Masked accuracy on held-out text", "Dims still open", "Speed"]
    assert html(page) == ""
    assert list(page.dataframe[0].value.columns)[6:10] == ["residual", "attention", "ffn", "transform"]


def test_the_first_picture_comes_before_the_first_step(watch) -> None:
    """Harm: for the first seconds of every run the page is an error."""
    page = watch([*beginning(), picture(0)], at_work=True)
    assert titles(page) == ["Dims closing", "Share of dims kept", "Multiply-adds, forward pass"]
    assert [it.value for it in page.metric] == ["–", "60.0%", "–", "–"]


def test_what_was_used_stands_beside_what_was_planned() -> None:
    """Harm: a budget that was missed, and nobody is told; or a card of last month that cannot be shown."""
    card = {"tokens": 4_980_000, "flops": 2 * 10**12, "training_seconds": 58.0}
    card["budget"] = {"asked": "60.0 s of training", "planned": {"tokens": 5_000_000, "flops": None, "seconds": 60.0}}
    said = "used 4.98M tokens of 5.00M tokens planned, 2.00 TFLOPs, 58.0 s in training steps of 60.0 s planned."
    assert budget_used(card) == f"Budget 60.0 s of training: {said}"
    assert budget_used({"seconds": 5}) == budget_used({"budget": "60s"}) == ""


def test_a_damaged_picture_is_no_picture(watch) -> None:
    """Harm: one bad line hides the whole run."""
    page = watch([*beginning(), *STEPS, {"kind": "picture", "step": "x", "groups": 7}, ENDED])
    assert "Speed" in titles(page)


def test_a_score_says_what_it_measures(watch) -> None:
    """Harm: accuracy on a labelled task, drawn and tabled as the share of hidden words that were found."""
    measure = {"name": "task", "title": "Accuracy on task", "of": "its test set", "question": "text"}
    events = beginning()
    start = next(event for event in events if event["kind"] == "start")
    start["measure"] = measure
    preparing = {"kind": "prepare", "message": "Fine-tuning the teacher", "share": 0.25, "seconds_left": 60.0}
    page = watch([preparing], at_work=True)
    assert any("1 min 00 s left" in str(bar.proto) for bar in page.get("progress"))
    scored = [{"kind": "evaluation", "step": step, "loss": 0.5, "accuracy": 0.7} for step in (0, 40)]
    page = watch([*events, *scored, *STEPS], at_work=True)
    shown = {metric.label for metric in page.metric}
    assert "Accuracy on task" in shown
    assert "Masked accuracy" not in shown
    assert "Accuracy on task" in titles(page)
    assert "accuracy on task" in page.dataframe[0].value.columns
