"""Laws of checkpoints in use: a run that was stopped or killed goes on as if nothing had been."""

import time

import psutil
import pytest
import torch
from safetensors.torch import load_file

from engine.methods.registry import METHODS
from engine.model.saved_models import load_model
from engine.settings.run_config import RunConfig
from engine.storage.runs import ENDED
from engine.training import job
from engine.training.loop import train
from tests.fixtures.builders import finish, losses, new_run, tiny


def stopped_and_continued(config, root, at):
    """The events of both halves of a run that stops after step `at`, and the run."""
    run, events = new_run(root, config), []
    for event in train(config, run):
        events.append(event)
        if event["kind"] == "step" and event["step"] == at - 1:  # it stops after the step in progress
            run.request_stop()
    assert events[-1]["kind"] == "stopped"
    assert events[-1]["step"] == at
    run.clear_stop()
    return events + finish(config, run), run


def spent(events):
    """(tokens, FLOPs) of every step event."""
    return [(event["tokens"], event["flops"]) for event in events if event["kind"] == "step"]


def weights(run):
    """The finished student's tensors."""
    return load_file(run.student_dir / "model.safetensors")


HURRY = {"pkd": {"teacher_epochs": 1}, "albert": {"embedding": 8}}
RUNS = {
    "wid": tiny("wid", options={"cuts": 2}),  # interval 4: cuts at 4 and 8, everything gone after 12
    "wid head": tiny("wid", options={"cuts": 2, "strategy": "head"}, student={"layers": 1, "hidden": 64, "heads": 2}),
    "scratch muon": tiny("scratch", steps=10, options={"optimizer": "muon"}),
}
OTHERS = [name for name in METHODS if name not in RUNS]
RUNS |= {name: tiny(name, steps=10, evaluations=1, options=HURRY.get(name, {})) for name in OTHERS}


@pytest.fixture(scope="module")
def uninterrupted(few_held_out, tmp_path_factory):
    """Name -> (losses, weights, tokens and FLOPs) of runs that nobody stopped."""
    found = {}
    for name, config in RUNS.items():
        run = new_run(tmp_path_factory.mktemp("whole"), config)
        events = finish(config, run)
        found[name] = (losses(events), weights(run), spent(events))
    return found


@pytest.mark.parametrize(
    ("name", "at"),
    [
        ("wid", 2),  # before anything closes
        ("wid", 4),  # just chosen, not yet fading
        ("wid", 6),  # half-way to zero
        ("wid", 8),  # the first are gone, the next are chosen
        ("wid", 17),  # all gone
        ("wid head", 6),
        ("wid head", 10),
        ("scratch muon", 5),
        *((name, 5) for name in OTHERS),
    ],
)
def test_a_run_that_was_stopped_goes_on_as_if_nothing_had_been(name, at, uninterrupted, tmp_path):
    """Harm: stopping a run costs what it had learned, or bends its curve."""
    events, run = stopped_and_continued(RUNS[name], tmp_path, at)
    whole, student, counted = uninterrupted[name]
    assert losses(events) == pytest.approx(whole, abs=1e-6)
    assert spent(events) == counted  # neither counter begins anew
    assert [event["step"] for event in events if event["kind"] == "step"] == list(range(1, len(whole) + 1))
    found = weights(run)
    assert set(found) == set(student)
    for key, tensor in found.items():
        torch.testing.assert_close(tensor, student[key], rtol=0, atol=1e-6, msg=key)


@pytest.mark.usefixtures("few_held_out")
def test_a_run_killed_after_its_last_checkpoint_can_be_finished(tmp_path):
    """Harm: a crash while scoring the student makes the finished run unusable for ever."""
    config = RUNS["scratch"]
    run = new_run(tmp_path, config)
    for event in train(config, run):
        if event == {"kind": "checkpoint", "step": config.steps}:
            break  # the process dies here
    assert not run.card_path.exists()
    events = finish(config, run)
    assert events[-1]["kind"] == "finished"
    assert events[-1]["step"] == config.steps
    assert load_model(run.student_dir).card["complete"]


@pytest.mark.usefixtures("few_held_out")
def test_a_killed_run_repeats_only_what_came_after_its_checkpoint(tmp_path):
    """Harm: the first loss after a crash is an average over steps that it never took."""

    def until(run, last):
        """The losses of the run's events up to the event `last`; the process dies there."""
        events = []
        for event in train(config, run):
            events.append(event)
            if (event["kind"], event.get("step")) == last:
                return losses(events)
        raise AssertionError("it never came")

    config = tiny("scratch", steps=400, checkpoints=16, student={"layers": 1, "hidden": 8, "heads": 1}, length=8)
    whole = until(new_run(tmp_path, config), ("step", 30))
    assert set(whole) == set(range(2, 31, 2))  # a point every second step
    run = new_run(tmp_path, config)
    before = until(run, ("checkpoint", 25))  # half-way between two points of the curve
    after = until(run, ("step", 30))
    assert (max(before), min(after)) == (24, 26)
    assert {**before, **after} == pytest.approx(whole, abs=1e-6)


@pytest.mark.usefixtures("few_held_out")
def test_a_process_killed_while_dims_close_goes_on_as_if_nothing_had_been(tmp_path):
    """Harm: the laws above hold inside one process, and a real kill -9 loses what was only in its memory."""
    # a checkpoint every fourth step; dims close at 10 and 20 and the last are gone after 30
    config = tiny("wid", steps=100, checkpoints=25, options={"cuts": 2, "closed_by": 0.3}, evaluations=1)
    run = job.start(tmp_path, config.to_json(), "killed")

    def events(kind):
        return [event for event in run.events()[0] if event["kind"] == kind]

    while not any(event["step"] >= 16 for event in events("checkpoint")):
        assert run.status() not in ENDED, run.error()
        time.sleep(0.005)
    psutil.Process(run.process()[0]).kill()
    while run.alive():
        time.sleep(0.005)
    last = max(event["step"] for event in events("step"))
    assert run.status() == "died"
    assert last < config.steps
    job.resume(run)
    while run.status() not in ENDED:
        time.sleep(0.01)
    assert (run.status(), run.error()) == ("finished", None)
    began, resumed = events("start")
    assert 16 <= resumed["step"] <= last
    whole = finish(config, new_run(tmp_path, config))
    assert losses(events("step")) == pytest.approx(losses(whole), abs=1e-6)
    for kind in ("evaluation", "checkpoint"):  # when it looks and saves does not depend on the kill either
        expected = {event["step"] for event in whole if event["kind"] == kind}
        assert {event["step"] for event in events(kind)} == expected
    assert not list(run.path.rglob("*.draft"))


@pytest.mark.parametrize("name", ["wid", "scratch", "pkd"])
def test_one_seed_one_student(name, uninterrupted, tmp_path):
    """Harm: a result that nobody, not even its author, can repeat."""
    for seed in (0, 1):
        config = RunConfig(**{**RUNS[name].to_json(), "seed": seed})
        run = new_run(tmp_path, config)
        same = losses(finish(config, run)) == uninterrupted[name][0]
        equal = all(torch.equal(tensor, uninterrupted[name][1][key]) for key, tensor in weights(run).items())
        assert (same, equal) == (seed == 0, seed == 0)
