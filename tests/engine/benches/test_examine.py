"""The bench of the inheritance score: it is timed, whoever computes it. Times are no test."""

from engine.benches import examine


def test_every_bar_is_measured(monkeypatch) -> None:
    """Harm: a bar that nobody measures."""
    monkeypatch.setattr(examine, "_score", lambda: lambda: None)  # half a minute of computing on a busy machine
    found = examine.bench_examine(repeats=1)
    assert set(found["seconds"]) == set(examine.WANTED)
    assert all(name in examine.as_text(found) for name in found["seconds"])
