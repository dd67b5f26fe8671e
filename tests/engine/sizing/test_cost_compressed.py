"""Counts, bytes and work of what one-shot compressions leave behind."""

import pytest
import torch
from hypothesis import given, settings
from torch.utils.flop_counter import FlopCounterMode

from engine.model.bert import Bert
from engine.sizing.cost import model_bytes, multiply_adds, parameters
from engine.sizing.shape import Shape
from tests.fixtures.compressed import UNEVEN
from tests.fixtures.shapes import small_shapes

SHAPES = {
    "uneven": UNEVEN,
    "two factors": {"rank": 3},
    "int8": {"linear_bits": 8, "table_bits": 8},
    "int8 linears": {"linear_bits": 8},
    "everything": {**UNEVEN, "head_dim": 4, "rank": 2, "linear_bits": 8, "table_bits": 8},
    "untied": {"tied": False, "linear_bits": 8, "embedding": 8, "family": "albert", "sharing": "all", "rank": 2},
}


@pytest.mark.parametrize("name", SHAPES)
def test_counts_bytes_and_work_are_those_of_the_built_model(name):
    """Harm: a compression whose saving is announced by one rule and built by another."""
    shape = Shape(**{"layers": 2, "hidden": 16, "heads": 4, "ffn": 24, "vocab": 40, "positions": 12, **SHAPES[name]})
    model = Bert(shape)
    assert parameters(shape) == sum(p.numel() for p in model.parameters())
    assert model_bytes(shape) == sum(t.numel() * t.element_size() for t in model.state_dict().values())
    if shape.linear_bits == shape.table_bits == 32:
        with FlopCounterMode(display=False) as counter:
            model(torch.zeros(1, 7, dtype=torch.long), trace={"attentions": []})
        assert counter.get_total_flops() == 2 * multiply_adds(shape, 7)


@settings(max_examples=60, deadline=None)
@given(small_shapes(compressed=True))
def test_bytes_are_exact_for_any_shape(shape):
    """Harm: scales, shared layers or a tied decoder are weighed twice or not at all."""
    with torch.device("meta"):
        tensors = Bert(shape).state_dict().values()
    assert model_bytes(shape) == sum(t.numel() * t.element_size() for t in tensors)
