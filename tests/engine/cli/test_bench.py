"""The verb bench."""

import json

from engine.__main__ import main


def test_bench_speaks_json_and_prose(capsys):
    """Harm: a measurement that only its author can read, or that a script cannot."""
    assert main(["bench", "wid", "--case", "tiny", "--repeats", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["case"] == "tiny"
    assert main(["bench", "wid", "--case", "gpu", "--repeats", "1"]) == 0
    assert main(["bench", "wid", "--case", "what"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_page_has_a_bench_of_its_own(capsys, monkeypatch):
    """Harm: somebody measures the calculator and takes it for the page; or the engine starts the app."""
    from engine.benches import size

    monkeypatch.setattr(size, "_answers", lambda: {"four models counted": lambda: None})
    assert main(["bench", "size", "--repeats", "1", "--json"]) == 0
    told = capsys.readouterr()
    assert list(json.loads(told.out)["answers"]) == ["four models counted"]
    assert told.err == "This with the page: python -m app.size.bench\n"
    assert main(["bench", "size", "--repeats", "0"]) == 2
    assert "repeats must be between 1" in capsys.readouterr().err
