"""The bench of int8 on its smallest case."""

import pytest
import torch

from engine.benches.cases import INT8_CASES
from engine.benches.int8 import as_markdown, bench_int8
from engine.settings.options import ConfigError


def test_every_width_has_both_times() -> None:
    """Harm: "int8 pays from here on", said of a width that nobody timed; or a bench that a machine without GPU ends."""
    found = bench_int8("tiny", 1)
    assert [row["width"] for row in found["rows"]] == [shape.hidden for shape in INT8_CASES["tiny"].students]
    assert all(row["float32"] > 0 < row["int8"] for row in found["rows"])
    assert as_markdown(found).count("\n| ") == len(found["rows"]) + 1


def test_what_cannot_be_measured_is_said(monkeypatch) -> None:
    """Harm: a traceback out of a driver that is not there."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert "not measured here" in as_markdown(bench_int8("cuda"))
    for case, repeats in (("tpu", 1), ("tiny", 0), ("tiny", 1001)):
        with pytest.raises(ConfigError):
            bench_int8(case, repeats)
