"""The bench on its smallest case: every row is measured, and what is compared computes the same."""

from pathlib import Path

import pytest
import torch

from engine.benches import wid_variants as variants
from engine.benches.wid import bench_wid, peak_memory
from engine.settings.options import ConfigError


@pytest.fixture(scope="module", name="found")
def measured():
    """The smallest case, measured once."""
    return bench_wid("tiny", repeats=2, with_memory=False)


def test_every_row_has_its_figures(found):
    """Harm: a ratio whose two sides nobody can see."""
    (student,) = found["students"]
    assert set(student["rows"]) == set(variants.VARIANTS)
    for figures in student["rows"].values():
        low, high = figures["spread"]
        assert 0 < low <= figures["seconds"] <= high
        assert figures["multiply_adds"] > 0
    rows = {row: figures["seconds"] for row, figures in student["rows"].items()}
    assert set(student["against"]) == {variants.OPEN, variants.CLOSED, variants.FOLDED}
    for row, ratios in student["against"].items():
        assert ratios["times_release_speed"] == pytest.approx(rows[variants.RELEASED] / rows[row])
        assert ratios["times_activation_speed"] == pytest.approx(rows[variants.ACTIVATION] / rows[row])
        assert ratios["student_steps"] == pytest.approx(rows[row] / rows[variants.STUDENT])
        assert ratios["teacher_steps"] == pytest.approx(rows[row] / rows[variants.TEACHER])


def test_a_folded_student_is_as_much_work_as_a_plain_one(found):
    """Harm: a row that is called folded and still carries compactors."""
    rows = found["students"][0]["rows"]
    assert rows[variants.FOLDED]["multiply_adds"] == rows[variants.STUDENT]["multiply_adds"]
    assert rows[variants.CLOSED]["multiply_adds"] > rows[variants.FOLDED]["multiply_adds"]


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="only Linux tells a process its peak memory")
def test_memory_is_measured_in_a_process_of_its_own():
    """Harm: a row that is charged for what the row before it left behind."""
    peak = peak_memory("tiny", variants.CLOSED, 0)
    assert peak is not None
    assert 0 < peak < 2e9


def test_no_gpu_no_figure(monkeypatch):
    """Harm: a number for a card that is not there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    found = bench_wid("gpu")
    assert not found["measured"]
    assert "not measured here" in found["why"]
    with pytest.raises(ConfigError, match="choose one of cpu, gpu"):
        bench_wid("tpu")
