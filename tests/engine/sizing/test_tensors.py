"""The ledger of a model's tensors: short, and it adds up."""

import math

from hypothesis import given, settings

from engine.sizing.cost import parameters, parameters_by_part
from engine.sizing.shape import Shape
from engine.sizing.tensors import PARTS, tensor_kinds
from tests.fixtures.shapes import small_shapes


@settings(max_examples=500, deadline=None)
@given(small_shapes(compressed=True))
def test_the_ledger_adds_up(shape: Shape) -> None:
    """Harm: the table under a chart does not sum to the number above it."""
    entries = tensor_kinds(shape)
    assert (
        sum(entry.count * entry.stored for entry in entries)
        == parameters(shape)
        == sum(parameters_by_part(shape).values())
    )
    assert list(parameters_by_part(shape)) == list(PARTS)
    assert len({entry.name for entry in entries}) == len(entries)
    for entry in entries:
        assert math.prod(int(size) for size in entry.formula.replace(",", "").split(" x ")) == entry.count


def test_a_deep_model_has_a_short_ledger() -> None:
    """Harm: a 24-layer model shows 400 rows that say the same thing 24 times."""
    shape = Shape(layers=24, pooler=True, pair_head=True)
    assert len(tensor_kinds(shape)) == len(tensor_kinds(shape.replace(layers=1))) <= 35


def test_albert_worked_example() -> None:
    """Harm: the factorisation that ALBERT's section 3.1 explains shows other numbers here than in the paper."""
    base = {"vocab": 10_000, "hidden": 1024, "heads": 16}
    whole = {entry.name: entry.count for entry in tensor_kinds(Shape(**base))}
    halves = {entry.name: entry.count for entry in tensor_kinds(Shape(**base, embedding=512))}
    assert whole["word embedding table"] == 10_240_000
    assert halves["word embedding table"] + halves["embedding projection weight"] == 5_644_288
