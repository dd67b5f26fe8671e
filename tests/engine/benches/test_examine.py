"""The examine page's bench: every bar is measured, and no view is larger than it may be. Times are no test."""

from app.examine import bench as examine_stopwatch
from engine.benches import examine as bench_examine


def test_every_bar_is_measured(monkeypatch) -> None:
    """Harm: a bar that nobody measures; a page too heavy for a conference's wireless network."""
    monkeypatch.setattr(bench_examine, "_score", lambda: lambda: None)  # half a minute of computing on a busy machine
    monkeypatch.setattr(bench_examine, "_drawn", examine_stopwatch.measure)
    found = bench_examine.bench_examine(repeats=1)
    assert set(bench_examine.WANTED) <= set(found["seconds"])
    assert len(found["bytes"]) >= 6
    for name, it in found["bytes"].items():
        assert 1_000 < it["size"] < it["wanted"], name
    told = bench_examine.table(found)
    assert all(name in told for name in (*found["seconds"], *found["bytes"]))
