"""Scores over a run's training: who may share a chart, and what odd files do to it."""

import shutil

from engine.inheritance.curve import read_inheritance_curve
from engine.storage import runs
from tests.fixtures.pictured_run import step_event


def test_runs_of_other_teachers_or_texts_do_not_share_a_chart(made, tmp_path):
    """Harm: a curve against minilm is drawn beside one against the microworld as if the two compared."""
    run = made[1]

    def copied(**changes):
        other = runs.create_run(tmp_path, {**run.config(), **changes}, "x")
        shutil.copyfile(run.events_path, other.events_path)
        return read_inheritance_curve(other).comparable_by

    own = read_inheritance_curve(run).comparable_by
    assert own == ("microworld", "microworld", 16) == copied(corpus="microworld")  # "auto" was that text
    assert own not in (copied(teacher="minilm"), copied(length=8))


def test_events_from_elsewhere_do_not_break_the_curve(tmp_path):
    """Harm: one odd line in a run's file takes the page down."""
    run = runs.create_run(tmp_path, {"method": "wid"}, "x")
    assert read_inheritance_curve(run) is None
    whole = dict.fromkeys(("score", "low", "high", "distance", "null"), 0.5)
    for event in (
        {"step": "first", "matched": whole},
        {"step": 0, "matched": {"score": "high"}},
        {"step": 1, "matched": None},
        {"step": 2, "matched": whole, "same_place": None},
    ):
        run.append({"kind": "attention", **event})
    told = {**step_event(1), "flops": 7e9, "training_seconds": None, "seconds": None}
    run.append(told)
    run.append({"kind": "step", "step": 2, "flops": 8e9})  # without a loss
    curve = read_inheritance_curve(run)
    assert (curve.axes["steps"], curve.axes["flops"], curve.axes["seconds"]) == ([2.0], [7e9], [None])
    assert curve.scores["same_place"] == [None]
