"""Laws of several processes: they do what one would have done."""

import os
import subprocess
import time
from itertools import takewhile

import pytest
import torch
from torch import nn

from engine.methods.kinds.one_shot import OneShot
from engine.methods.registry import METHODS
from engine.model.saved_models import load_model
from engine.settings.project import PROJECT
from engine.storage.runs import ENDED
from engine.training import job, launch
from engine.training.loop import train
from engine.training.processes import join_processes
from tests.fixtures.builders import finish, losses, new_run, tiny


def test_a_process_alone_talks_to_nobody():
    """Harm: every run on a laptop needs a process group."""
    alone, student = join_processes(), nn.Linear(2, 2)
    assert (alone.rank, alone.size) == (0, 1)
    assert (alone.broadcast_flag(True), alone.broadcast_flag(False)) == (True, False)
    assert alone.sum_over_processes(torch.tensor([1.5, 2.0])) == [1.5, 2.0]
    for last in (True, False):
        with alone.forward(student, last) as network:
            assert network is student


def until_step(config, run, last):
    """The losses of a run in this process up to the step event of `last`; it is stopped there, as by a person."""
    events = []
    for event in train(config, run):
        events.append(run.append(event))
        if event["kind"] == "step" and event["step"] >= last:
            run.request_stop()
    run.clear_stop()
    return losses(events)


@pytest.mark.usefixtures("few_held_out")
def test_two_processes_take_the_steps_that_one_would_have_taken(tmp_path):
    """Harm: more GPUs, another student; a run that only ever goes on with the number of processes it began with.

    One process begins, two go on while dims close, stop together when asked, and one takes over again.
    """
    # a step event every second step; dims close at 8, 16 and 24 and the last are gone after 32
    config = tiny("wid", steps=400, batch=5, options={"cuts": 3, "closed_by": 0.08}, evaluations=1, checkpoints=1)
    run = new_run(tmp_path, config)
    found = until_step(config, run, 10)
    seen = run.events()[1]
    job.resume(run, processes=2)
    while run.status() not in ENDED:
        if any(step >= 40 for step in losses(run.events(seen)[0])):
            run.request_stop()
        time.sleep(0.01)
    told = run.events(seen)[0]
    assert (run.status(), run.error()) == ("stopped", None), run.log_path.read_text()
    assert [event["processes"] for event in told if event["kind"] == "start"] == [2]
    assert told[-1]["card"]["processes"] == 2
    stopped_at = told[-1]["step"]
    assert stopped_at >= 40
    assert stopped_at % 2 == 0  # where they share their numbers anyway
    run.clear_stop()
    found |= losses(told) | until_step(config, run, stopped_at + 5)

    whole = new_run(tmp_path, config)
    expected = losses(takewhile(lambda event: event.get("step", 0) <= max(found), train(config, whole)))
    assert found == pytest.approx(expected, abs=1e-5)
    assert list(found) == list(range(2, max(found) + 1, 2))


TOGETHER = [
    name for name, kind in METHODS.items() if issubclass(kind, OneShot) or "task-agnostic" not in kind.about.uses
]


@pytest.fixture(scope="module")
def together(few_held_out, tmp_path_factory):
    """({method: run by two processes}, what they said): PKD and every one-shot method, healed for three steps."""
    root, found = tmp_path_factory.mktemp("together"), {}
    for name in TOGETHER:
        options = {"head_pruning": {"batches": 2}, "ffn_pruning": {"batches": 2}, "pkd": {"teacher_epochs": 1}}
        config = tiny(name, steps=3, processes=2, options=options.get(name, {}), evaluations=1, checkpoints=1)
        found[name] = new_run(root, config)
    words = launch.command_for(2)
    command = [*words[: -len(launch.WORKER)], "-m", "tests.fixtures.several_runs", str(root)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "HEIRLOOM_CACHE": str(tmp_path_factory.mktemp("cache"))}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return found, done.stdout


@pytest.mark.parametrize("name", TOGETHER)
def test_two_processes_make_the_student_that_one_would_have_made(name, together, tmp_path):
    """Harm: PKD whose processes have a teacher each, heads that one process keeps and the other does not."""
    found, said = together
    events, _ = found[name].events()
    (start,) = [event for event in events if event["kind"] == "start"]
    assert start["processes"] == 2
    config = tiny(name, steps=3, options=found[name].config()["options"], evaluations=1, checkpoints=1)
    alone = new_run(tmp_path, config)
    near = 2e-3 if name == "int8" else 1e-5  # rounding breaks its ties otherwise in parts
    assert losses(events) == pytest.approx(losses(finish(config, alone)), abs=near)
    one, two = (load_model(run.student_dir).bert for run in (alone, found[name]))
    assert one.shape == two.shape
    if name != "int8":
        for (key, a), b in zip(one.state_dict().items(), two.state_dict().values(), strict=True):
            torch.testing.assert_close(a, b, rtol=0, atol=1e-4, msg=key)
    shares = [event["share"] for event in events if "share" in event]
    assert bool(shares) == (name == "pkd")  # the first process fine-tunes the teacher, the other one takes it over
    assert "Fine-tuning" not in said
