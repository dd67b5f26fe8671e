"""The bench of memory: what it measures is what it says. Its table is in log/size.md."""

import torch

from engine.benches import memory
from engine.benches.memory import as_markdown, bench_memory, recorded_peak
from engine.sizing.shape import Shape


def test_a_peak_is_what_lives_at_once() -> None:
    """Harm: a sum of all that was ever there, or only what is left."""

    def work() -> None:
        first = torch.empty(1000)
        del first
        second, third = torch.empty(500), torch.empty(250)
        del second, third

    assert recorded_peak(work) == 4000


def test_the_table_holds_measured_and_computed(monkeypatch) -> None:
    """Harm: a bench that fails where it is needed, or compares a figure with itself."""
    small = Shape(layers=1, hidden=32, heads=2, vocab=50)
    monkeypatch.setattr(memory, "CASES", (("small", small, "ours", (2, 8)), ("small", small, "transformers", (2, 8))))
    found = bench_memory()
    assert len(found["rows"]) == 4
    for row in found["rows"]:
        assert abs(row["computed"] / row["measured"] - 1) < 0.1
        assert abs(row["run_computed"] / row["run_measured"] - 1) < 0.2  # products' workspaces, of so small a model
    assert "small, transformers | 2 x 8 | bfloat16" in as_markdown(found)
