"""Turns: one device works on one run at a time, in the order in which they came."""

import os
from collections.abc import Callable
from pathlib import Path

import psutil

from engine.storage.runs import Run, create_run
from engine.training import job
from tests.fixtures.jobs import kinds, open_gate, time_of, until, wait_for


def test_runs_on_one_device_take_turns_in_the_order_they_came(begin: Callable[..., Run]) -> None:
    """Harm: two runs share a GPU and both fail for memory, or the last to come is served first."""
    first = begin("gate")
    wait_for(first, "running")
    second = begin("gate")
    until(lambda: "waiting" in kinds(second))
    third = begin("gate")
    until(lambda: "waiting" in kinds(third))
    elsewhere = begin("finish", "other-toy")
    wait_for(elsewhere, "finished")
    assert [run.status() for run in (first, second, third)] == ["running", "waiting", "waiting"]
    for run in (third, second, first):
        open_gate(run)
    wait_for(third, "finished")
    assert time_of(first, "finished") <= time_of(second, "started")
    assert time_of(second, "finished") <= time_of(third, "started")
    assert kinds(second) == ["queued", "waiting", "started", "step", "finished"]


def test_a_newcomer_lets_those_in_line_go_first(root: Path) -> None:
    """Harm: a run started in the moment the device falls free overtakes the one that has waited all night."""
    ahead, newcomer = create_run(root, {}, "ahead"), create_run(root, {}, "newcomer")
    ahead.write_process(os.getpid(), psutil.Process().create_time())
    ahead.append({"kind": "waiting", "device": "toy"})
    events = job.perform(newcomer, lambda config, run: iter([{"kind": "finished"}]), lambda config: "toy")
    assert next(events)["kind"] == "waiting"
    ahead.append({"kind": "finished"})
    assert [event["kind"] for event in events] == ["started", "finished"]


def test_a_killed_run_has_died_and_frees_its_device_and_its_place(begin: Callable[..., Run]) -> None:
    """Harm: after a kill -9 the run looks alive, and every later run waits for it for ever."""
    first = begin("gate")
    wait_for(first, "running")
    second = begin("finish")
    until(lambda: "waiting" in kinds(second))
    third = begin("finish")
    until(lambda: "waiting" in kinds(third))
    for run in (second, first):
        pid, _ = run.process() or (0, 0.0)
        psutil.Process(pid).kill()
        wait_for(run, "died")
    wait_for(third, "finished")
    assert first.error() is None


def test_a_run_in_line_stops_without_its_device(begin: Callable[..., Run]) -> None:
    """Harm: a run queued by mistake cannot be taken back until it has started."""
    first = begin("gate")
    wait_for(first, "running")
    second = begin("gate")
    until(lambda: "waiting" in kinds(second))
    assert job.stop(second) == "stopped"
    assert kinds(second) == ["queued", "waiting", "stopped"]
    assert first.status() == "running"


def test_a_devices_name_cannot_place_its_lock_elsewhere(begin: Callable[..., Run], root: Path) -> None:
    """Harm: a device name such as cuda:0, or a hostile one, breaks or escapes the lock folder."""
    run = begin("finish", "../../cuda:0")
    wait_for(run, "finished")
    assert {path.name for path in root.parent.iterdir()} == {"runs", "worker.py"}
    assert {path.parent for path in root.rglob("*.lock")} == {root / ".locks"}
