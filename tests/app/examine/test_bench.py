"""The examine page's bench: every bar is measured, and no view is larger than it may be. Times are no test."""

from app.examine import bench
from engine.benches import examine


def test_every_bar_is_measured(monkeypatch) -> None:
    """Harm: a bar that nobody measures; a page too heavy for a conference's wireless network."""
    monkeypatch.setattr(examine, "_score", lambda: lambda: None)  # half a minute of computing on a busy machine
    found = bench.bench_examine_page(repeats=1)
    assert {*examine.WANTED, *bench.WANTED} <= set(found["seconds"])
    assert len(found["bytes"]) >= 6
    for name, it in found["bytes"].items():
        assert 1_000 < it["size"] < it["wanted"], name
    text = bench.as_text(found)
    assert all(name in text for name in (*found["seconds"], *found["bytes"]))
