"""The watch page as a script: what it draws for runs with and without pictures, at work and ended."""

import json
import os

import pandas as pd
import psutil
import pytest
from streamlit.testing.v1 import AppTest

from app.session import caches
from app.watch.curves import curve_axis
from app.watch.run import budget_used
from tests.app.conftest import PROJECT
from tests.fixtures.pictured_run import beginning, picture, step_event, write_run

ENDED = {"kind": "failed", "message": "Made by a test."}
STEPS = [step_event(step) for step in (10, 20, 30, 40)]
PICTURES = [picture(step) for step in (0, 10, 20, 40)]


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """Opens the watch page for a run with the given events."""
    monkeypatch.setattr(caches, "RUNS", tmp_path)

    def open_run(events, *, at_work=False, over="") -> AppTest:
        run = write_run(tmp_path, events)
        if at_work:
            run.write_process(os.getpid(), psutil.Process().create_time())
        page = AppTest.from_file(PROJECT / "streamlit_app.py", default_timeout=120)
        page.query_params["run"] = run.id
        page.run()
        page.switch_page("app/pages/watch.py")
        page.query_params["run"] = run.id
        if over:
            page.query_params["over"] = over
        page.run()
        assert not page.exception
        return page

    return open_run


def test_a_link_counts_again_when_its_page_is_left_and_entered(tmp_path, monkeypatch) -> None:
    """Harm: Examine this run, back, Examine this run once more: and the newest run is shown."""
    monkeypatch.setattr(caches, "RUNS", tmp_path)
    old, new = (write_run(tmp_path, [*beginning(), ENDED]) for _ in range(2))
    kept: dict[str, object] = {}
    for _ in range(2):
        page = AppTest.from_file(PROJECT / "app" / "pages" / "watch.py", default_timeout=120)
        page.query_params["run"] = old.id
        for name, value in kept.items():
            page.session_state[name] = value
        page.run()
        assert not page.exception
        (choice,) = (box for box in page.selectbox if box.label == "Run")
        assert {old.id, new.id} == set(choice.options)
        assert choice.value == old.id
        # what a page's widgets held goes when it is left; what was remembered stays
        kept = {name: page.session_state[name] for name in ("given_chosen_run_Run", "chosen_run_Run_linked")}


def titles(page: AppTest) -> list[str]:
    """What the page's charts are called."""
    return [it.value.split("**")[1] for it in page.markdown if it.value.startswith("**")]


def drawn(page: AppTest) -> str:
    """The HTML of the strips, or nothing."""
    return "".join(it.proto.body for it in page.get("html"))


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
    assert "layer 2 FFN: 8 of 16 dims kept" in drawn(page)
    curves, groups = (it.value for it in page.dataframe)
    assert curves.set_index("step")["all groups kept, %"].dropna().to_dict() == {0: 100, 10: 75, 20: 50, 40: 50}
    assert curves["million multiply-adds a token"].dropna().tolist() == [9.0, 6.0, 3.0, 3.0]
    assert groups["kept"].tolist() == [4, 4, 8, 4, 8, 4]
    assert len(page.select_slider) == (0 if at_work else 1)


def test_the_film_goes_back_and_can_be_pointed_at(watch) -> None:
    """Harm: once the run has ended nobody can see how it came to that."""
    page = watch([*beginning(), *STEPS, *PICTURES, ENDED])
    page.select_slider[0].set_value(10).run()
    assert "layer 2 FFN: 12 of 16 dims kept" in drawn(page)
    assert not page.get("plotly_chart")
    page.toggle[0].set_value(True).run()
    assert len(page.get("plotly_chart")) == 1
    assert "dims kept" not in drawn(page)


def test_an_old_run_is_drawn_as_ever(watch) -> None:
    """Harm: what somebody trained last month cannot be looked at any more."""
    evaluation = {"kind": "evaluation", "step": 40, "accuracy": 0.5, "loss": 1.7}
    page = watch([*beginning(counted=False), *STEPS, evaluation, ENDED])
    assert titles(page) == ["Training loss", "Masked accuracy on held-out text", "Dims still open", "Speed"]
    assert drawn(page) == ""
    assert list(page.dataframe[0].value.columns)[6:10] == ["residual", "attention", "ffn", "transform"]


@pytest.mark.parametrize("known", [None, {}, {"teacher": 6e6}, {"teacher": "much", "student": 2e6}, 7])
def test_without_reference_lines_there_is_no_picture_of_multiply_adds(watch, known) -> None:
    """Harm: a line without the two it must be compared with, or no page at all."""
    events = beginning()
    events[0]["multiply_adds_per_token"] = known
    page = watch([*events, *STEPS, *PICTURES, ENDED])
    assert "Multiply-adds, forward pass" not in titles(page)
    assert "Time a step" in titles(page)


def test_the_first_picture_comes_before_the_first_step(watch) -> None:
    """Harm: for the first seconds of every run the page is an error."""
    page = watch([*beginning(), picture(0)], at_work=True)
    assert titles(page) == ["Dims closing", "Share of dims kept", "Multiply-adds, forward pass"]
    assert [it.value for it in page.metric] == ["–", "60.0%", "–", "–"]


@pytest.mark.parametrize(
    ("over", "label", "last"),
    [("steps", "step", 40), ("tokens", "k tokens", 80), ("flops", "GFLOPs", 40), ("seconds", "seconds", 2)],
)
def test_curves_stand_over_what_the_link_says(watch, over, label, last) -> None:
    """Harm: methods look equal over steps that cost four times as much; or a shared link shows another picture."""
    page = watch([*beginning(), *STEPS, *PICTURES, ENDED], over=over)
    (control,) = (it for it in page.get("button_group") if it.label == "Curves over")
    assert control.value == over
    charts = [json.loads(it.proto.spec) for it in page.get("vega_lite_chart")]
    labels = {one["encoding"]["x"]["title"] for chart in charts for one in (chart.get("layer") or [chart])[:1]}
    assert labels == {label}
    axis = curve_axis(over, STEPS)
    frame = axis.reindexed(pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=[0, 10, 40]))
    assert frame.index.tolist() == pytest.approx([0, last / 4, last])


def test_an_old_run_has_no_axis_that_it_did_not_count(watch) -> None:
    """Harm: a run from before tokens were counted cannot be looked at."""
    old = [{name: value for name, value in event.items() if name not in ("tokens", "flops")} for event in STEPS]
    page = watch([*beginning(), *old, ENDED], over="flops")
    (control,) = (it for it in page.get("button_group") if it.label == "Curves over")
    assert control.options == ["Steps", "Seconds"]
    assert control.value == "steps"


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


def test_every_choice_of_a_run_counts_and_so_does_a_new_link(watch, tmp_path) -> None:
    """Harm: every second choice is lost, or the run that was just started is not the one that is shown."""
    others = [write_run(tmp_path, beginning()).id for _ in range(3)]
    page = watch(beginning())
    for wanted in (*others, *others):
        page.selectbox(key="chosen_run_Run").set_value(wanted).run()
        assert page.selectbox(key="chosen_run_Run").value == wanted
        assert page.query_params["run"] == wanted
    page.query_params["run"] = others[0]
    page.run()
    assert next(box for box in page.selectbox if box.label == "Run").value == others[0]
