"""The least time on a device, by hand."""

import pytest

from engine.sizing.cost import parameters
from engine.sizing.footprint import TrainingBatch, flops, training_flops
from engine.sizing.roofline import (
    ACCELERATORS,
    Accelerator,
    find_accelerator,
    roofline_bound,
    training_seconds,
    weights_read,
)
from engine.sizing.shape import Shape

SLOW = Accelerator("slow", "Slow", float32=1e9, bfloat16=2e9, bandwidth=1e6, source="made for a test")


def test_the_bound_is_the_longer_of_both_times() -> None:
    """Harm: a memory-bound model is promised at the speed of its arithmetic."""
    shape = Shape(layers=1, hidden=8, heads=2, vocab=50, positions=16)
    one = roofline_bound(shape, SLOW, 16, 1, "float32")
    assert one.compute == flops(shape, 16) / 1e9
    assert one.memory == 4 * parameters(shape) / 1e6
    assert (one.seconds, one.limit) == (one.memory, "memory")
    many = roofline_bound(shape, SLOW, 16, 10**6, "float32")
    assert (many.seconds, many.limit) == (many.compute, "arithmetic")
    assert many.memory == one.memory  # weights are read once, whatever the batch


def test_fewer_bits_are_read_faster_and_multiplied_as_bfloat16() -> None:
    """Harm: int4 weights are promised at the rate of int4 products, which nobody computes."""
    times = {name: roofline_bound(Shape(), SLOW, 128, 1, name) for name in ("float32", "bfloat16", "int8", "int4")}
    assert times["float32"].memory == 2 * times["bfloat16"].memory == 8 * times["int4"].memory
    assert times["int8"].compute == times["int4"].compute == times["bfloat16"].compute
    with pytest.raises(ValueError, match="precision"):
        roofline_bound(Shape(), SLOW, 128, 1, "int2")


def test_rows_of_the_table_that_nobody_looks_up_are_not_read() -> None:
    """Harm: the bound is none: an encoder without a decoder reads only the words that occur."""
    encoder = Shape(mlm_head=False)
    whole = parameters(encoder)
    assert weights_read(encoder, 128) == whole - (30522 - 128) * 768 - (512 - 128) * 768
    assert weights_read(Shape(), 512) == parameters(Shape())  # the tied decoder reads the whole table
    untied = Shape(tied=False)
    assert weights_read(untied, 512) == parameters(untied) - (30522 - 512) * 768


def test_every_card_has_a_source_and_sensible_rates() -> None:
    """Harm: a slip of three digits in a table that nobody looks at again."""
    for name, one in ACCELERATORS.items():
        assert one.name == name
        assert "NVIDIA" in one.source
        assert 5e12 < one.float32 <= one.bfloat16 < 2e15
        assert 2e11 < one.bandwidth < 1e13
    with pytest.raises(ValueError, match="h100"):
        find_accelerator("abacus")


def test_training_time_is_work_over_rate() -> None:
    """Harm: hours are promised for days."""
    batch = TrainingBatch(8, 128)
    assert training_seconds(Shape(), batch, 1000, 1e12) == 1000 * training_flops(Shape(), batch) / 1e12
    with pytest.raises(ValueError, match="above 0"):
        training_seconds(Shape(), batch, 1, 0.0)
