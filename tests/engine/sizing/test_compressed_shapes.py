"""What one-shot compressions leave behind, as shapes: counts, bytes and work, and what does not fit together."""

import pytest
import torch
from hypothesis import given, settings
from torch.utils.flop_counter import FlopCounterMode

from engine.model.bert import Bert
from engine.model.pruning import pruned_shape
from engine.sizing.cost import model_bytes, multiply_adds, parameters
from engine.sizing.shape import COMPRESSION_FIELDS, Shape, ShapeError
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


def test_shapes_of_old_runs_are_still_read():
    """Harm: every run made before today opens with an error."""
    old = {name: value for name, value in Shape().to_json().items() if name not in COMPRESSION_FIELDS}
    assert Shape.from_json(old) == Shape()


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"layer_heads": [1, 2, 3]}, "for each of 2 layers, got 3"),
        ({"layer_heads": [0, 4]}, "between 1 and the shape's heads of 4 and reach it, got 0 to 4"),
        ({"layer_heads": [1, 2]}, "reach it, got 1 to 2"),
        ({"layer_heads": "12"}, "must be a list of whole numbers"),
        ({"layer_heads": [1.0, 4]}, "must be a list of whole numbers"),
        ({"layer_ffn": [10**5000, 1]}, "layer_ffn"),
        ({"layer_ffn": {"0": 1}}, "must be a list"),
        ({"rank": -1}, "rank must be a whole number between 0"),
        ({"rank": True}, "rank must be a whole number"),
        ({"linear_bits": 4}, "linear_bits must be one of 8, 32, got 4"),
        ({"table_bits": "8"}, "table_bits must be one of 8, 32"),
        ({"layer_ffn": [3, 24], "sharing": "all"}, "must be the same in all layers that share"),
    ],
)
def test_outcomes_that_do_not_fit_are_refused_in_a_sentence(changes, says):
    """Harm: a damaged card builds a model of another shape, or ends in a traceback."""
    with pytest.raises(ShapeError, match=says) as caught:
        Shape(layers=2, hidden=16, heads=4, ffn=24, **changes)
    assert all(len(problem) < 300 for problem in caught.value.problems)


def test_a_list_of_one_number_is_no_list():
    """Harm: two shapes of one model that differ, so that an even student cannot be exported."""
    shape = Shape(layers=2, hidden=16, heads=4, ffn=24, layer_heads=[4, 4], layer_ffn=[24, 24])
    assert shape == Shape(layers=2, hidden=16, heads=4, ffn=24)
    assert Shape(layers=2, hidden=16, heads=4, layer_heads=[1, 4]).plain() == Shape(layers=2, hidden=16, heads=4)


def test_cut_shapes_follow_sharing():
    """Harm: the third group's heads are counted for the second."""
    shape = Shape(layers=5, hidden=16, heads=4, family="albert", sharing="attention", groups=2)
    assert pruned_shape(shape, "attention", [3, 1]).layer_heads == (3, 3, 3, 1, 1)
    assert pruned_shape(shape, "attention", [2, 2]).heads == 2
    assert pruned_shape(shape, "ffn", [5, 4, 3, 2, 1]).layer_ffn == (5, 4, 3, 2, 1)
