"""Curves of a run, and what they stand over: steps, tokens, FLOPs or seconds, chosen once and kept in the link."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st

from app.elements.text import escape_markdown
from app.session.link import link_value, set_link_value
from engine.settings.amounts import PREFIXES

Event = dict[str, Any]
AXIS_LABELS = {"steps": "Steps", "tokens": "Tokens", "flops": "FLOPs", "seconds": "Seconds"}
EVENT_FIELDS = {"tokens": "tokens", "flops": "flops", "seconds": "training_seconds"}  # of a step event
LEGEND_HEIGHT = 55  # pixels; a curve without one is that much lower, so that the axes of neighbours meet
MOST_POINTS = 500  # of a curve; a long run has thousands, more than the screen has pixels


@dataclass(frozen=True)
class CurveAxis:
    """Where each step lies on the chosen axis, and what stands under it."""

    label: str = "step"
    steps: tuple[float, ...] = (0.0,)
    places: tuple[float, ...] = (0.0,)  # of `steps`, already divided by the unit's power

    def reindexed(self, frame: pd.DataFrame) -> pd.DataFrame:
        """`frame`, a row a step, a row a place instead. Between two step events the way is straight."""
        if self.label == "step":
            return frame
        at = np.interp(frame.index.to_numpy(dtype=float), self.steps, self.places)
        return frame.set_axis(pd.Index(at), axis=0)


def choose_curve_axis(steps: Sequence[Event]) -> str:
    """The control; one of AXIS_LABELS. Those that an old run did not count are not offered."""
    offered = [name for name in AXIS_LABELS if name == "steps" or name in axis_readings(steps)]
    linked = link_value("over")
    name = st.segmented_control(
        "Curves over",
        offered,
        default=linked if linked in offered else "steps",
        required=True,
        format_func=AXIS_LABELS.__getitem__,
        key="curves_over",
        help="Tokens without padding; FLOPs of all products, the teacher's included; seconds of training steps.",
    )
    set_link_value("over", "" if name == "steps" else str(name))
    return str(name)


def axis_readings(steps: Sequence[Event]) -> dict[str, list[float]]:
    """For each axis that the step events know: its reading after each of them."""
    readings = {}
    for name, field in EVENT_FIELDS.items():
        values = [event.get(field) for event in steps]
        if values and all(isinstance(value, int | float) for value in values):
            readings[name] = [float(value) for value in values if value is not None]
    return readings


def curve_axis(name: str, steps: Sequence[Event]) -> CurveAxis:
    """The axis called `name`; steps where the events do not know it."""
    readings = axis_readings(steps).get(name)
    if not readings:
        return CurveAxis()
    power, letter = next(((power, letter) for power, letter in PREFIXES if readings[-1] >= power), (1.0, ""))
    label = {"tokens": f"{letter} tokens".strip(), "flops": f"{letter}FLOPs", "seconds": f"{letter}s"}[name]
    if name == "seconds":
        power, label = (60.0, "minutes") if readings[-1] >= 600 else (1.0, "seconds")
    places = [0.0, *(value / power for value in readings)]
    return CurveAxis(label, (0.0, *(float(event["step"]) for event in steps)), tuple(places))


def draw_curve(
    place: Any, title: str, frame: pd.DataFrame, colours: Sequence[str], unit: str, axis: CurveAxis, height: int = 230
) -> None:
    """Draws `frame` (a row a step, a column a line) over `axis` into `place` under `title`.

    `height` in pixels, legend included.
    """
    place.markdown(f"**{escape_markdown(title)}**")
    frame = frame.dropna(axis=1, how="all")
    frame = axis.reindexed(frame.iloc[:: max(1, len(frame) // MOST_POINTS)])
    place.line_chart(
        frame,
        color=list(colours[: len(frame.columns)]),
        x_label=axis.label,
        y_label=unit,
        height=height if len(frame.columns) > 1 else height - LEGEND_HEIGHT,
        alt=f"{title} over {axis.label}, in {unit}: {', '.join(map(str, frame.columns))}.",
    )
