"""A run of several processes in the foreground: it is shown, printed and stopped as a run of one is."""

import json
import os
import signal
import sys
import threading
from contextlib import suppress

import psutil
import pytest

from engine.__main__ import main
from engine.storage.runs import list_runs
from engine.training import job

WORKER = """
import sys, time
from engine.training import job

def train(config, run):
    yield {"kind": "start", "step": 0, "steps": config.steps, "device_name": "toy", "processes": config.processes}
    while config.steps > 10 and not run.stop_requested():
        time.sleep(0.01)
    scores = {"masked_accuracy": 0.5, "teacher_masked_accuracy": 1.0, "retained": 0.5}
    card = {"id": run.id, "parameters": 1, "teacher_parameters": 2, "scores": scores, "seconds": 1.0, "complete": True}
    if config.seed:
        raise RuntimeError("the GPU is on fire")
    yield {"kind": "stopped" if run.stop_requested() else "finished", "step": 0, "card": card}

sys.exit(job.main(sys.argv[1:], train=train, device_of=lambda config: "toy"))
"""


@pytest.fixture
def start(tmp_path, monkeypatch):
    """Trains with stand-in processes; the exit code. How many were asked for is kept in `start.asked`."""
    (tmp_path / "worker.py").write_text(WORKER)
    asked = []
    monkeypatch.setattr(job, "command_for", lambda n: asked.append(n) or [sys.executable, str(tmp_path / "worker.py")])
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    arguments = ["--layers", "2", "--hidden", "32", "--device", "cpu", "--runs", str(tmp_path / "runs")]

    def train(*more):
        return main(["train", *arguments, *more])

    train.asked, train.root = asked, tmp_path / "runs"
    yield train
    for number, action in before.items():
        signal.signal(number, action)
    for run in list_runs(tmp_path / "runs"):
        with suppress(psutil.NoSuchProcess, TypeError):
            if run.alive():
                psutil.Process(run.process()[0]).kill()


def test_several_processes_look_like_one(start, capsys):
    """Harm: a script that trains on two GPUs gets no card, or chokes on a progress bar."""
    assert start("--processes", "2", "--steps", "2", "--accumulate", "3", "--json") == 0
    told = capsys.readouterr()
    (run,) = list_runs(start.root)
    assert json.loads(told.out)["id"] == run.id
    assert "on 2 processes, toy; Ctrl-C saves and stops" in told.err
    assert start.asked == [2]
    assert (run.config()["processes"], run.config()["accumulate"]) == (2, 3)


def test_ctrl_c_stops_all_processes_and_resume_takes_other_numbers(start, capsys):
    """Harm: Ctrl-C leaves two processes on the GPUs; a run stopped on two GPUs cannot go on with four."""

    def press():
        while not any(run.status() == "running" for run in list_runs(start.root)):
            threading.Event().wait(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    for arguments in (["--processes", "2", "--steps", "50"], ["--processes", "4"]):
        resume = ["--resume", list_runs(start.root)[0].id] if start.asked else []
        pressing = threading.Thread(target=press)
        pressing.start()
        assert start(*arguments, *resume) == 0
        pressing.join()
        (run,) = list_runs(start.root)
        assert run.status() == "stopped"
    assert start.asked == [2, 4]
    assert capsys.readouterr().out.count("saved in") == 2


def test_a_failure_elsewhere_is_a_sentence_here(start, capsys):
    """Harm: the processes in the background failed, and the terminal says nothing."""
    assert start("--processes", "2", "--steps", "2", "--seed", "1") == 1
    assert "RuntimeError: the GPU is on fire (details in log.txt)" in capsys.readouterr().err


@pytest.mark.parametrize("number", ["0", "-1", "100"])
def test_a_wrong_number_of_processes_is_refused(start, number, capsys):
    """Harm: a run folder for every typo."""
    assert start("--processes", number, "--batch", "64") == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert list_runs(start.root) == []
