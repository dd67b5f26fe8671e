"""A soak in short: processes killed in several phases, resumed, and their students the same."""

import json
import os
import subprocess
import sys

import pytest

from engine.benches.soak import KINDS, soak
from engine.settings.options import ConfigError
from engine.settings.project import PROJECT
from engine.training.plan import plan


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
def test_killed_runs_go_on_and_make_the_same_student():
    """Harm: a kill at a bad moment costs a night's run, or bends its student without a word."""
    command = [sys.executable, "-m", "engine", "soak", "--kills", "4", "--seed", "3", "--json"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(done.stdout)
    assert found["all"] == {"kills": 4, "resumed": 4, "equal": 4}
    assert sum(row["kills"] for row in found["phases"]) == 4
    assert set(found["kinds"]) == set(KINDS)
    assert not found["differences"]


@pytest.mark.parametrize("kills", [0, -1, 10**9])
def test_a_number_of_kills_that_makes_no_sense_is_refused(kills):
    """Harm: a traceback, or a soak that never ends."""
    with pytest.raises(ConfigError, match="kills must be between 1 and 100,000"):
        soak(kills, 0, lambda *_: None)


def test_every_kind_of_run_can_be_started():
    """Harm: an option is renamed, and the soak finds out after an hour."""
    for config in KINDS.values():
        plan(config)
