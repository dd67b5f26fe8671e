"""Fixtures that tests of jobs and of their turns share: real processes whose training is a stand-in."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from engine.storage.runs import Run, list_runs
from engine.training import job
from tests.fixtures.jobs import WORKER


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A folder for runs, whose processes are ended with the test."""
    yield tmp_path / "runs"
    for run in list_runs(tmp_path / "runs"):
        record = run.process()
        if record and run.alive() and record[0] != os.getpid():
            with suppress(psutil.NoSuchProcess):  # it may end by itself at this moment
                psutil.Process(record[0]).kill()


@pytest.fixture
def command(tmp_path: Path) -> list[str]:
    """What starts a process that works on a run with stand-in training."""
    (tmp_path / "worker.py").write_text(WORKER)
    return [sys.executable, str(tmp_path / "worker.py")]


@pytest.fixture
def begin(root: Path, command: list[str]) -> Callable[..., Run]:
    """Start a run of a stand-in method."""
    return lambda method, device="toy": job.start(root, {"method": method, "teacher": device}, method, command)
