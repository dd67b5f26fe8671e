"""The bench of methods on its smallest case: whoever is in the registry is measured, and refused in words."""

import pytest
import torch

from engine.benches import methods as bench_methods
from engine.benches.methods import CASES, measure, planned, table
from engine.benches.methods import bench_methods as bench
from engine.methods.registry import METHODS
from engine.settings.options import ConfigError
from engine.sizing.step_flops import FORWARD_AND_BACKWARD, BatchShape, forward_flops


def test_wid_has_two_rows_and_its_ratio() -> None:
    """Harm: WID's cheap half, or its dear one, is shown as the whole; a ratio to something else than scratch."""
    found = bench("tiny", rounds=1, steps=1, only=("wid", "scratch"))
    rows = {(row["method"], row["stage"]): row for row in found["rows"]}
    assert set(rows) == {("wid", "begins"), ("wid", "ends"), ("scratch", "begins")}
    scratch = rows["scratch", "begins"]
    assert scratch["times_scratch"] == 1
    for row in rows.values():
        assert row["times_scratch"] == pytest.approx(row["seconds"] / scratch["seconds"])
        assert row["peak_bytes"] is None or row["peak_bytes"] > 0
    assert rows["wid", "begins"]["flops"] > rows["wid", "ends"]["flops"]
    assert "| wid, as it ends |" in table(found)


@pytest.mark.parametrize("name", METHODS)
def test_every_method_of_the_registry_can_be_measured(name) -> None:
    """Harm: a new method breaks the bench, or is left out of it. In this process: its memory is not asked about."""
    method, shape = planned(name, CASES["tiny"])
    stages = bench_methods.STAGES if len(method.phases(CASES["tiny"].teacher, shape)) > 1 else ("begins",)
    for stage in stages:
        found = measure(CASES["tiny"], name, stage, 1)
        assert len(found["seconds"]) == 1
        assert found["flops"] > 0
    if name == "scratch":
        assert found["flops"] == FORWARD_AND_BACKWARD * forward_flops(shape, BatchShape(4, 16, 10))  # 15% of 64 tokens


def test_what_cannot_be_measured_is_said(monkeypatch) -> None:
    """Harm: a number for a card that is not there, or a traceback for a method that refuses the shape."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "not measured here" in table(bench("cuda"))
    with pytest.raises(ConfigError, match="choose one of cpu, cuda"):
        bench("tpu")
    monkeypatch.setattr(METHODS["scratch"], "objections", lambda *_: ["It does not want to."])
    assert bench("tiny", rounds=1, only=("scratch",))["refused"] == {"scratch": "It does not want to."}
