"""The question backwards: what it finds is legal, as near as can be, and keeps what it was told to keep."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.sizing.cost import parameters
from engine.sizing.footprint import flops, stored_bytes
from engine.sizing.roofline import ACCELERATORS, roofline_bound
from engine.sizing.shape import Shape
from engine.sizing.solver import KEEPABLE_FIELDS, SizeBudget, find_shapes, widest_by_depth

WID11, WID55 = (12, 192, 12, 16), (12, 516, 12, 43)


def sizes(shape: Shape) -> tuple[int, int, int, int]:
    """What a shape is known by."""
    return shape.layers, shape.hidden, shape.heads, shape.head_dim


def test_the_papers_students_are_found_from_bert_base() -> None:
    """Harm: the method's own students are not among the answers to the question that they answer."""
    assert sizes(find_shapes(Shape(), SizeBudget("parameters", 11e6))[0].shape) == WID11
    found = [sizes(one.shape) for one in find_shapes(Shape(), SizeBudget("parameters", 55e6))]
    assert found[0] == WID55
    assert (12, 512, 8, 64) in found[:3]
    assert (12, 192, 3, 64) in [sizes(one.shape) for one in find_shapes(Shape(), SizeBudget("parameters", 11e6))]


@settings(max_examples=25, deadline=None)
@given(st.floats(1e6, 1e9), st.sets(st.sampled_from(sorted(KEEPABLE_FIELDS)), max_size=6))
def test_what_is_kept_is_kept_and_costs_are_right(amount: float, keep: set[str]) -> None:
    """Harm: 'keep the layers' and the answer has other layers; or a cost that the shape does not have."""
    base = Shape()
    found = find_shapes(base, SizeBudget("parameters", amount), tuple(sorted(keep)))
    assert found
    for one in found:
        assert one.cost == parameters(one.shape)
        assert one.relative_error == pytest.approx(one.cost / amount - 1)
        for name in keep & {"layers", "hidden", "heads", "head_dim", "vocab"}:
            assert getattr(one.shape, name) == getattr(base, name), name
        if "ffn" in keep:
            assert one.shape.ffn == 4 * one.shape.hidden
        if "embedding" in keep:
            assert one.shape.embedding == one.shape.hidden
    hundredths = [int(abs(one.relative_error) / 0.01) for one in found]
    assert hundredths == sorted(hundredths)


@pytest.mark.parametrize("amount", [3e6, 11e6, 54_735_294, 2e8])
def test_nothing_nearer_exists(amount: float) -> None:
    """Harm: a legal shape that is closer is missed. Every width is tried here, one by one."""
    base = Shape()
    nearest = min(
        abs(parameters(base.replace(hidden=width, heads=12, head_dim=None)) - amount) for width in range(12, 1500, 12)
    )
    found = find_shapes(base, SizeBudget("parameters", amount), ("layers", "heads", "ffn", "embedding", "vocab"))
    assert min(abs(one.cost - amount) for one in found) == nearest
    assert int(abs(found[0].relative_error) / 0.01) == int(nearest / amount / 0.01)


@pytest.mark.parametrize(
    ("budget", "measure"),
    [
        (SizeBudget("bytes", 50e6, "int8"), lambda shape: stored_bytes(shape, "int8")),
        (SizeBudget("flops", 5e9), lambda shape: flops(shape, 128)),
        (
            SizeBudget("latency", 2e-5, "bfloat16", 128, ACCELERATORS["h100"]),
            lambda shape: roofline_bound(shape, ACCELERATORS["h100"], 128, 1, "bfloat16").seconds,
        ),
    ],
    ids=["bytes", "flops", "latency"],
)
def test_every_kind_of_budget(budget: SizeBudget, measure) -> None:
    """Harm: only parameters can be asked for."""
    best = find_shapes(Shape(), budget)[0]
    assert best.cost == measure(best.shape)
    assert abs(best.relative_error) < 0.05
    edge = widest_by_depth(Shape(), budget)
    assert all(measure(one.shape) <= budget.amount for one in edge)


def test_the_edge_of_what_is_possible_is_an_edge() -> None:
    """Harm: one step wider would still have fitted."""
    budget = SizeBudget("parameters", 55e6)
    edge = widest_by_depth(Shape(), budget)
    assert [one.shape.layers for one in edge] == list(range(1, 25))
    widths = [one.shape.hidden for one in edge]
    assert widths == sorted(widths, reverse=True)
    for one in edge:
        assert one.cost <= 55e6
        wider = Shape(layers=one.shape.layers, hidden=one.shape.hidden + 12 - one.shape.hidden % 12, heads=12)
        assert parameters(wider) > 55e6


def test_albert_keeps_sharing_and_its_embedding_size() -> None:
    """Harm: the search quietly turns ALBERT into BERT."""
    albert = Shape(family="albert", sharing="all", embedding=128, vocab=30_000)
    for one in find_shapes(albert, SizeBudget("parameters", 20e6)):
        assert (one.shape.sharing, one.shape.embedding, one.shape.family) == ("all", 128, "albert")


@pytest.mark.parametrize("amount", [1.0, 1e12, 1e24])
def test_absurd_budgets_answer_at_once(amount: float) -> None:
    """Harm: a slip of the keyboard freezes the page."""
    began = time.perf_counter()
    found = find_shapes(Shape(), SizeBudget("parameters", amount), ())
    assert found
    assert widest_by_depth(Shape(), SizeBudget("parameters", amount)) or amount < 1e6
    assert time.perf_counter() - began < 20  # a hang, not a benchmark


def test_bad_questions_are_refused_in_words() -> None:
    """Harm: a traceback for 'keep everything'."""
    for keep, says in ((("layers", "magic"), "magic"), (tuple(KEEPABLE_FIELDS), "nothing to look for")):
        with pytest.raises(ValueError, match=says):
            find_shapes(Shape(), SizeBudget("parameters", 1e6), keep)
    for wrong, says in (
        (("weight", 1.0), "one of"),
        (("parameters", 0.0), "above 0"),
        (("parameters", float("inf")), "above 0"),
        (("latency", 1.0), "device"),
    ):
        with pytest.raises(ValueError, match=says):
            SizeBudget(*wrong)
