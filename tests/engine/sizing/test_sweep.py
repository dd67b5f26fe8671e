"""What-if curves: every point is the count of that shape, and the crossing is where it says."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sizing.comparison import edit_field, editable_fields
from engine.sizing.cost import parameters
from engine.sizing.presets import PRESETS
from engine.sizing.shape import LARGEST_NUMBER, Shape
from engine.sizing.sweep import MAX_POINTS, SWEEPABLE, break_even, sweep

HUGE = dict.fromkeys(("layers", "hidden", "heads", "ffn", "vocab", "positions"), LARGEST_NUMBER)


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(sorted(PRESETS)), st.sampled_from(sorted(SWEEPABLE)))
def test_every_point_is_the_count_of_its_shape(preset: str, name: str) -> None:
    """Harm: a curve that is drawn from another formula than the number beside it."""
    fields = editable_fields(PRESETS[preset].shape)
    curve = sweep(fields, name)
    assert len(curve.values) == len(curve.counts) <= 64
    assert curve.counts[curve.values.index(curve.now)] == parameters(PRESETS[preset].shape)
    for value, count in zip(curve.values, curve.counts, strict=True):
        if value != curve.now:
            assert parameters(Shape(**edit_field(fields, name, value))) == count


@pytest.mark.parametrize("name", ["bert-base", "bert-tiny", "albert-xxlarge", "example-halves", "microworld"])
def test_factorising_stops_paying_exactly_there(name: str) -> None:
    """Harm: the crossing is read off a drawing, or from V*H/(V+H), which forgets biases, positions and the head."""
    shape = PRESETS[name].shape
    crossing, whole = break_even(shape)
    counts = {e: parameters(shape.replace(embedding=e)) for e in (crossing, crossing + 1) if 0 < e < shape.hidden}
    if crossing:
        assert counts[crossing] < whole
    if crossing + 1 in counts:
        assert counts[crossing + 1] >= whole
    assert whole == parameters(shape.replace(family="bert", embedding=shape.hidden))


def test_the_worked_example_breaks_even_near_v_h_over_v_plus_h() -> None:
    """Harm: the crossing is off by an order of magnitude and nobody notices. For tables alone it is VH / (V + H)."""
    shape = Shape(vocab=10_000, hidden=1024, heads=16, mlm_head=False)
    crossing, _ = break_even(shape)
    assert abs(crossing - 10_000 * 1024 / 11_024) < 10


@pytest.mark.parametrize("name", sorted(SWEEPABLE))
def test_the_largest_shape_can_be_swept(name: str) -> None:
    """Harm: one zero too many and the page hangs."""
    huge = Shape(**HUGE, sharing="all")
    curve = sweep(editable_fields(huge), name)
    assert len(curve.values) <= 2 * MAX_POINTS


def test_an_unknown_control_is_refused() -> None:
    """Harm: a traceback for --sweep magic."""
    with pytest.raises(ValueError, match="embedding"):
        sweep(editable_fields(Shape()), "magic")
