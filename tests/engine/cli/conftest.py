"""What tests of several verbs share: a run that was trained from the command line."""

import json
import subprocess
import sys

import pytest

TINY = ["--layers", "2", "--hidden", "32", "--heads", "4", "--batch", "8", "--length", "32", "--seed", "0"]


@pytest.fixture(scope="session")
def finished(tmp_path_factory):
    """(runs folder, card) of one tiny run, trained by a process of its own as a newcomer would."""
    runs = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "-m", "engine", "train", "--teacher", "microworld", "--method", "wid", *TINY]
    command += ["--steps", "40", "--runs", str(runs), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return runs, json.loads(done.stdout), done.stderr
