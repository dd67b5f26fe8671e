"""The verb soak."""

import json

from engine.__main__ import main
from engine.benches import soak as bench

FOUND = {
    "asked": 2,
    "seed": 7,
    "phases": [{"phase": "checkpoint", "kills": 2, "resumed": 2, "equal": 1}],
    "all": {"kills": 2, "resumed": 2, "equal": 1},
    "kinds": {"from scratch": 2},
    "runs": 1,
    "seconds": 3.0,
    "differences": ["from scratch, killed in checkpoint: another student."],
}


def test_a_student_that_differs_is_an_exit_code_and_a_sentence(capsys, monkeypatch):
    """Harm: a nightly soak finds a broken resume, and the machine that ran it sees success."""
    monkeypatch.setattr(bench, "soak", lambda kills, seed, say: {**FOUND, "seed": seed})
    assert main(["soak", "--kills", "2", "--seed", "7"]) == 1
    told = capsys.readouterr().out
    assert "checkpoint" in told
    assert told.endswith("killed in checkpoint: another student.\n")
    assert main(["soak", "--kills", "2", "--seed", "7", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == FOUND


def test_a_bad_number_is_one_line(capsys):
    """Harm: a traceback."""
    assert main(["soak", "--kills", "0"]) == 2
    assert "kills must be between" in capsys.readouterr().err
