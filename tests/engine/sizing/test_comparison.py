"""Comparisons: fields make their shapes again, and edits never raise."""

from typing import Any

import pytest
from hypothesis import given, settings

from engine.sizing.comparison import (
    edit_field,
    editable_fields,
)
from engine.sizing.shape import LARGEST_NUMBER, Shape
from tests.fixtures.shapes import small_shapes


@pytest.mark.parametrize(
    ("start", "name", "value", "after"),
    [
        ({}, "hidden", 516, {"ffn": 2064, "head_dim": 43, "embedding": 516}),
        ({"ffn": 1536}, "hidden", 384, {"ffn": 768}),
        ({"ffn": 1200}, "hidden", 384, {"ffn": 600}),
        ({"ffn": 1201}, "hidden", 384, {"ffn": 1201}),
        ({"embedding": 128}, "hidden", 384, {"embedding": 128, "factorised": True}),
        ({}, "pair_head", True, {"pooler": True}),
        ({"pooler": True, "pair_head": True}, "pooler", False, {"pair_head": False}),
    ],
)
def test_derived_fields_follow_the_hand(start: dict[str, Any], name: str, value: Any, after: dict[str, Any]) -> None:
    """Harm: half the width with the teacher's FFN, a student far larger than it looks."""
    shape = Shape(**edit_field(editable_fields(Shape(**start)), name, value))
    assert {key: getattr(shape, key) for key in after} == after


@settings(max_examples=100, deadline=None)
@given(small_shapes())
def test_fields_make_their_shape_again(shape: Shape) -> None:
    """Harm: opening a preset changes it."""
    assert Shape(**editable_fields(shape)) == shape


def test_edits_never_raise() -> None:
    """Harm: a typed number shows a traceback before the shape could refuse it."""
    for name in editable_fields(Shape()):
        for value in (0, -1, LARGEST_NUMBER, 10**30):
            edit_field(editable_fields(Shape(ffn=1200)), name, value)
