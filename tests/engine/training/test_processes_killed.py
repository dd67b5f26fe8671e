"""One of two processes is killed: the other ends too, the run says so, and goes on as if nothing had been."""

import time

import psutil
import pytest

from engine.storage.runs import ENDED, Run
from engine.training import job
from tests.fixtures.builders import finish, losses, new_run, tiny


def ranks(run: Run) -> dict[str, psutil.Process]:
    """The run's training processes by rank."""
    leader = psutil.Process((run.process() or (0, 0.0))[0])
    return {it.environ().get("RANK", ""): it for it in leader.children(recursive=True) if "RANK" in it.environ()}


@pytest.mark.usefixtures("few_held_out")
def test_a_killed_process_of_two_costs_what_came_after_the_checkpoint(tmp_path):
    """Harm: the other one waits for ever and holds the device; or the run is lost."""
    config = tiny("scratch", steps=400, checkpoints=100, evaluations=1, processes=2)
    run = job.start(tmp_path, config.to_json(), "killed")
    while not any(event["kind"] == "checkpoint" for event in run.events()[0]):
        assert run.status() not in ENDED, run.error()
        time.sleep(0.01)
    ranks(run)["1"].kill()
    while run.status() not in ENDED or run.alive():
        time.sleep(0.01)
    assert run.status() in ("failed", "died")
    assert run.status() == "died" or "Another process of this run ended without a word" in run.error()
    assert job.can_resume(run)
    job.take_up(run)
    events = [
        event for event in job.perform(run) if event["kind"] in ("start", "step", "finished")
    ]  # one goes on alone
    assert events[0]["step"] > 0
    assert events[-1]["kind"] == "finished"
    expected = losses(finish(tiny("scratch", steps=400, evaluations=1), new_run(tmp_path, config)))
    assert losses(run.events()[0]) == pytest.approx(expected, abs=1e-4)
