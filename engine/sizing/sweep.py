"""What-if curves: the parameter count while one control moves and all others stay. Knows no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.sizing.comparison import NUMBER_FIELDS, SWITCH_FIELDS, edit_field
from engine.sizing.cost import parameters
from engine.sizing.shape import LARGEST_NUMBER, SHARINGS, Shape, ShapeError

SWEEPABLE = {  # field -> its name for people
    "embedding": "Embedding size",
    "hidden": "Width",
    "layers": "Layers",
    "heads": "Heads",
    "head_dim": "Head size",
    "ffn": "FFN size",
    "vocab": "Vocabulary",
    "positions": "Positions",
    "token_types": "Token types",
    "sharing": "Sharing",
    "groups": "Sharing groups",
    "pooler": "Pooler",
    "mlm_head": "Masked-LM head",
    "pair_head": "Sentence-order head",
    "tied": "Tied decoder",
}
MAX_POINTS = 48  # of a curve, at most


@dataclass(frozen=True)
class Sweep:
    """A curve: `counts` over `values`, and for the embedding size where factorising stops paying."""

    field: str
    values: tuple[Any, ...]
    counts: tuple[int, ...]
    now: Any  # the control's present value
    crossing: int | None = None  # the largest embedding size that still saves parameters; 0: none does
    whole: int | None = None  # the count without factorisation, which the curve crosses there


def sweep(fields: Mapping[str, Any], name: str) -> Sweep:
    """Parameters while `name` moves through its legal values, everything else as in `fields`.

    Derived fields follow, as they do under the hand.

    Raises:
        ShapeError: `fields` do not fit together.
        ValueError: there is no such control.
    """
    if name not in SWEEPABLE:
        raise ValueError(f"There is no control {name[:40]!r} to sweep; choose one of {', '.join(SWEEPABLE)}.")
    shape = Shape(**fields)
    now = getattr(shape, name)
    found: dict[Any, int] = {}
    for value in _values(shape, fields, name):
        try:
            found[value] = parameters(Shape(**edit_field(fields, name, value)))
        except ShapeError:
            continue  # this value does not fit to the others
    found.setdefault(now, parameters(shape))
    order = sorted(found) if name in NUMBER_FIELDS else list(found)
    curve = Sweep(name, tuple(order), tuple(found[value] for value in order), now)
    if name != "embedding":
        return curve
    crossing, whole = break_even(shape)
    return Sweep(name, curve.values, curve.counts, now, crossing, whole)


def break_even(shape: Shape) -> tuple[int, int]:
    """(the largest embedding size with which factorising saves parameters, the count without factorising).

    Exact for the whole model: the projection's bias, positions, LayerNorms and masked-LM head included. 0: it never
    saves any.
    """
    whole = parameters(shape.replace(family="bert", embedding=shape.hidden))
    low, high = 0, shape.hidden  # at `hidden` there is nothing left to save
    while high - low > 1:
        middle = (low + high) // 2
        if parameters(shape.replace(embedding=middle)) < whole:
            low = middle
        else:
            high = middle
    return low, whole


def _values(shape: Shape, fields: Mapping[str, Any], name: str) -> list[Any]:
    if name in SWITCH_FIELDS:
        return [False, True]
    if name == "sharing":
        return list(SHARINGS)
    if name == "heads":
        if fields.get("head_dim") is not None:
            return list(range(1, 2 * min(shape.heads, 24) + 1))
        return [n for n in range(1, min(shape.hidden, 256) + 1) if shape.hidden % n == 0]
    if name == "groups":
        return _spread(1, shape.layers, 1)
    if name == "layers":
        return _spread(max(1, shape.groups), max(24, 2 * shape.layers), 1)
    if name == "hidden":
        step = shape.heads if fields.get("head_dim") is None else 1
        return _spread(step, max(1024, 2 * shape.hidden), step)
    if name == "token_types":
        return list(range(5))
    low = 1000 if name == "vocab" and shape.vocab >= 1000 else 1
    most = {"vocab": 120_000, "positions": 4096, "ffn": 4096, "embedding": 1, "head_dim": 128}[name]
    now = getattr(shape, name)
    return _spread(low, max(most, 2 * now if name != "embedding" else round(1.15 * shape.hidden) + 1), 1)


def _spread(low: int, high: int, step: int) -> list[int]:
    """At most POINTS multiples of `step` from `low` to `high`."""
    high = min(high, LARGEST_NUMBER)
    wide = max(step, -(-(high - low) // (MAX_POINTS - 1) // step) * step)
    return list(range(low, high + 1, wide))[: MAX_POINTS + 1]
