"""What each process of a torchrun does in test_processes.py: one run after another, so that torch starts only once."""

import os
import sys
from pathlib import Path
from unittest import mock

from engine import corpora, tasks
from engine.config import RunConfig
from engine.processes import Processes
from engine.runs import Run, list_runs
from engine.train import train


def main(root: Path) -> None:
    """Every run in the folder `root`; rank 0 writes down what happens."""
    corpora.HELD_OUT_ROWS, tasks.GRAMMAR_STORIES = 32, 200  # as the fixture few_held_out
    *others, last = sorted(list_runs(root), key=lambda run: run.id)
    with mock.patch.object(Processes, "leave", return_value=None):  # together until the last run has ended
        for run in others:
            perform(run)
    perform(last)


def perform(run: Run) -> None:
    """Trains `run` as one process of its torchrun."""
    for event in train(RunConfig.from_json(run.config()), run):
        if os.environ["RANK"] == "0":
            run.append(event)
        elif event["kind"] == "prepare":
            print("the other process:", event["message"], flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
