"""The verb train: what it prints and takes; and a run of several processes is shown, printed and stopped as one."""

import json
import os
import shlex
import signal
import sys
import threading
from contextlib import suppress

import psutil
import pytest

from engine.__main__ import main, parse
from engine.settings.run_config import RunConfig
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


def test_json_is_one_object_and_nothing_else(finished) -> None:
    """Harm: a script that reads the card chokes on a progress bar."""
    _, card, errors = finished
    assert card["shape"]["hidden"] == 32
    assert card["complete"]
    assert card["seed"] == 0
    assert {"masked_accuracy", "teacher_masked_accuracy", "retained"} <= set(card["scores"])
    assert "40/40" in errors  # the progress bar, on stderr


def test_card_on_stdout_is_the_card_on_disk(finished) -> None:
    """Harm: what was printed and what was kept disagree."""
    runs, card, _ = finished
    assert json.loads((runs / card["id"] / "card.json").read_text()) == card


def test_the_command_in_a_report_starts_the_same_run() -> None:
    """Harm: somebody repeats a run from its report and gets another one."""
    from engine.cli.train import run_config
    from engine.settings.run_config import train_command

    config = RunConfig(
        teacher="microworld",
        method="wid",
        student={"layers": 2, "hidden": 32, "head_dim": 8},
        options={"strategy": "head", "closed_by": 0.25, "layer_list": "1 3; rm -rf *"},
        corpus="nltk:brown",
        steps=7,
        warmup=0.2,
        clip=2.0,
        mask_share=0.3,
        masking="word",
        seed=5,
        precision="float32",
    )
    words = shlex.split(train_command(config.to_json()))
    assert words[:3] == ["python", "-m", "engine"]
    assert run_config(parse(words[3:])) == config


def test_a_preset_sets_options_and_is_overruled_by_them(tmp_path):
    """Harm: the paper's settings typed by hand, one of them wrong; or a preset that cannot be changed."""
    from engine.cli.train import run_config
    from engine.methods.wid import Wid

    arguments = parse(["train", "--preset", "paper", "--option", "interval=100", "--runs", str(tmp_path)])
    assert run_config(arguments).options == {**Wid.about.presets["paper"], "interval": 100}
    assert main(["train", "--preset", "nonsense", "--runs", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []


TOO_SMALL = {
    "2 tokens": "less than one step",
    "130 tokens": "comes to",  # one: too few to close anything in
    "nonsense": "such as 500steps",
}


@pytest.mark.parametrize(("budget", "says"), TOO_SMALL.items())
def test_a_budget_that_is_too_small_is_refused_before_anything_starts(budget, says, tmp_path, capsys) -> None:
    """Harm: a run folder for every typo, or an error that does not say that the budget is why."""
    arguments = ["train", "--teacher", "blank", "--layers", "1", "--hidden", "32", "--batch", "8", "--length", "16"]
    assert main([*arguments, "--budget", budget, "--runs", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert len(told.strip().splitlines()) == 1
    assert main([*arguments, "--budget", "60s", "--steps", "5", "--runs", str(tmp_path)]) == 2
    assert list_runs(tmp_path) == []
