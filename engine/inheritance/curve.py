"""A run's inheritance score over its training, read from the events that the run has written. Knows no torch."""

from __future__ import annotations

import bisect
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.inheritance.score import PAIRINGS
from engine.storage.run_records import is_number
from engine.storage.runs import Run

AXES = {"steps": "steps", "tokens": "tokens", "flops": "FLOPs", "seconds": "seconds"}
STEP_EVENT_KEYS = {
    "tokens": ("tokens",),
    "flops": ("flops",),
    "seconds": ("training_seconds", "seconds"),
}  # by step events
LONGEST_NAME = 80  # characters


@dataclass(frozen=True)
class InheritanceCurve:
    """The scores of one run. Every list has one entry a frame of attention, oldest first."""

    run: str
    method: str
    shape: str  # such as 4x64
    comparable_by: tuple[Any, ...]  # teacher, text, length: what curves on one chart must have in common
    axes: dict[str, list[float | None]]  # by name among AXES; None: not told
    scores: dict[str, list[dict[str, float] | None]]  # by pairing: {"score", "low", "high", "distance", "null"}
    random: list[dict[str, float] | None]
    shuffled: list[dict[str, float] | None]


def read_inheritance_curve(run: Run, history: Sequence[dict[str, Any]] | None = None) -> InheritanceCurve | None:
    """The curve of `run`; None where it has none (yet). `history`: its events, where they have been read already.

    Raises:
        RunError: its files cannot be read.
    """
    config, events = run.config(), run.history() if history is None else history
    frames = {event["step"]: event for event in events if event["kind"] == "attention" and _is_complete(event)}
    if not frames:
        return None
    step_events = {event["step"]: event for event in events if event["kind"] == "step"}
    steps = sorted(frames)
    axes: dict[str, list[float | None]] = {"steps": [float(step) for step in steps]}
    for name, keys in STEP_EVENT_KEYS.items():
        found = (
            (step, next((event[key] for key in keys if is_number(event.get(key))), None))
            for step, event in step_events.items()
        )
        known = sorted((step, float(value)) for step, value in found if value is not None)
        axes[name] = [_reached_at(step, known) for step in steps]
    start: dict[str, Any] = next((event for event in reversed(events) if event["kind"] == "start"), {})
    shape = start.get("student_shape") or {}
    return InheritanceCurve(
        run.id,
        str(config.get("method", ""))[:LONGEST_NAME],
        f"{shape.get('layers', '?')}x{shape.get('hidden', '?')}"[:LONGEST_NAME],
        (config.get("teacher"), start.get("corpus") or config.get("corpus"), config.get("length")),
        axes,
        {pairing: [_checked_score(frames[step].get(pairing)) for step in steps] for pairing in PAIRINGS},
        [_checked_score(frames[step].get("random")) for step in steps],
        [_checked_score(frames[step].get("shuffled")) for step in steps],
    )


def _reached_at(step: int, known: list[tuple[int, float]]) -> float | None:
    """What was reached after `step` steps; nothing before the first."""
    place = bisect.bisect_right(known, step, key=lambda pair: pair[0])
    return known[place - 1][1] if place else (0.0 if step == 0 and known else None)


def _is_complete(event: dict[str, Any]) -> bool:
    return _checked_score(event.get("matched")) is not None


def _checked_score(record: Any) -> dict[str, float] | None:
    """A score as it was written; ends of its interval that nobody knows are not a number."""
    names, ends = ("score", "distance", "null"), ("low", "high")
    if not isinstance(record, dict) or not all(is_number(record.get(name)) for name in names):
        return None
    if not all(name in record and (record[name] is None or is_number(record[name])) for name in ends):
        return None
    return {name: math.nan if record[name] is None else float(record[name]) for name in (*names, *ends)}
