"""Rows of an experiment, and own runs, as points of one scatter. Reads cards and outcomes; needs no torch."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from engine.experiments.outcome import Outcome, RowOutcome, Summary
from engine.sizing.cost import model_bytes, multiply_adds
from engine.sizing.shape import Shape, ShapeError
from engine.storage.runs import Run, RunError
from engine.training import find_or_run

OWN_RUNS = "my runs"
FEW_THOUSAND = 5_000  # of a unit on an axis are too many digits
TOKENS, HIDDEN_WORDS = 64, 10  # of the row whose forward pass is counted: 15% of its words are asked for


@dataclass(frozen=True)
class CostAxis:
    """One thing that a student costs."""

    name: str
    title: str
    unit: str
    scale: float  # values are divided by it
    larger: str = ""  # the unit that is a thousand times as large, for real models


COST_AXES = {
    axis.name: axis
    for axis in (
        CostAxis("parameters", "Parameters", "thousand parameters", 1e3, "million parameters"),
        CostAxis("bytes", "Bytes", "kilobytes of all tensors", 1e3, "megabytes of all tensors"),
        CostAxis(
            "work",
            "FLOPs to run",
            f"million FLOPs for a row of {TOKENS} tokens",
            1e6,
            f"billion FLOPs for a row of {TOKENS} tokens",
        ),
        CostAxis(
            "flops",
            "FLOPs to train",
            "billion FLOPs of training, the teacher's included",
            1e9,
            "trillion FLOPs of training, the teacher's included",
        ),
        CostAxis("seconds", "Seconds to train", "seconds of training steps, the quickest seed", 1.0),
    )
}


@dataclass(frozen=True)
class PlacedPoint:
    """One model in the scatter."""

    label: str
    series: str
    x: float  # in the axis's unit
    y: float  # percent
    interval: float | None  # half of the 95% one, percent
    seeds: int
    note: str
    run: str = ""  # the id of a single run


def outcome_points(outcome: Outcome, axis: CostAxis, measure: str) -> list[PlacedPoint]:
    """The rows of `outcome` that have both the cost on `axis` and the `measure`."""
    points = []
    for row in outcome.rows:
        x, numbers = _cost(row, axis), row.measured.get(measure)
        if x is not None and numbers is not None:
            series = row.series or ("teacher" if row.name == "teacher" else "students")
            mean, interval = in_percent(numbers)
            points.append(PlacedPoint(row.label, series, x / axis.scale, mean, interval, len(numbers.values), row.note))
    return points


def in_percent(measured: Summary) -> tuple[float, float | None]:
    """(mean, half of its 95% interval or None) of a measure between 0 and 1, in percent."""
    return 100 * measured.mean, None if measured.interval is None else 100 * measured.interval


def run_points(runs: Sequence[Run], axis: CostAxis, measure: str) -> list[PlacedPoint]:
    """Finished runs as points; one that lacks the cost or the measure, or cannot be read, is left out."""
    points = []
    for run in runs:
        try:
            card = run.card() or {}
            y, shape = card["scores"].get(measure), Shape.from_json(card["shape"])
            x = {
                "parameters": lambda card=card: float(card["parameters"]),
                "bytes": lambda shape=shape: model_bytes(shape),
                "work": lambda card=card: _forward_flops(card["shape"]),
                "flops": lambda card=card: card.get("flops"),
                "seconds": lambda pair=(run, card): _training_seconds(*pair),
            }[axis.name]()
            if _is_number(x) and _is_number(y):
                note = f"{card['method']} {shape.layers} x {shape.hidden}, {int(card['steps']):,} steps"
                points.append(
                    PlacedPoint(
                        short_run_name(run.id), OWN_RUNS, float(x) / axis.scale, 100 * float(y), None, 1, note, run.id
                    )
                )
        except (RunError, ShapeError, KeyError, TypeError, ValueError, AttributeError, OverflowError):
            continue  # a damaged card is the watch page's to explain
    return points


def _training_seconds(run: Run, card: dict[str, Any]) -> float | None:
    """As its card says, or, where that is from before they were counted, its events."""
    told = card.get("training_seconds")
    return float(told) if told else find_or_run.step_seconds(run)


def in_fitting_unit(points: Sequence[PlacedPoint], axis: CostAxis) -> tuple[list[PlacedPoint], CostAxis]:
    """The same in the axis's larger unit, where the largest of them has thousands of the smaller one."""
    if not axis.larger or max((point.x for point in points), default=0.0) < FEW_THOUSAND:
        return list(points), axis
    return (
        [replace(point, x=point.x / 1000) for point in points],
        replace(axis, unit=axis.larger, scale=axis.scale * 1000),
    )


def short_run_name(id: str) -> str:
    """A run's id without its date: "20261125-214240-wid-4x64" is "wid-4x64, 21:42"."""
    found = re.fullmatch(r"\d{8}-(\d\d)(\d\d)\d\d-(.+)", id)
    return f"{found[3]}, {found[1]}:{found[2]}" if found else id


def _cost(row: RowOutcome, axis: CostAxis) -> float | None:
    if axis.name == "parameters":
        return float(row.parameters)
    if axis.name in ("work", "bytes"):
        return _forward_flops(row.shape) if axis.name == "work" else _bytes(row.shape)
    cost = row.measured.get(axis.name)
    if cost is None:
        return None
    return min(cost.values) if axis.name == "seconds" else cost.mean  # whatever else the machine does only adds


def _forward_flops(shape: dict[str, Any]) -> float | None:
    """FLOPs of a forward pass over one row; None for a shape that is not told or cannot be."""
    try:
        found = Shape.from_json(shape)
        tokens = min(TOKENS, found.positions)
        return 2.0 * multiply_adds(found.replace(pooler=False, pair_head=False), tokens, min(HIDDEN_WORDS, tokens))
    except (ShapeError, TypeError, ValueError, OverflowError):
        return None


def _bytes(shape: dict[str, Any]) -> float | None:
    """Bytes of all tensors; None for a shape that is not told or cannot be."""
    try:
        return float(model_bytes(Shape.from_json(shape)))
    except (ShapeError, TypeError, ValueError, OverflowError):
        return None


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
