"""The budget of a run: chosen in one of four units, and all four told before it starts."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.elements.tiles import tile_row
from app.session.widget_values import persistent
from app.session.widgets import persistent_segments
from engine.settings.amounts import format_duration, format_number
from engine.settings.budget import BUDGET_HELP, Budget, CostEstimate, parse_budget

AMOUNT_LABELS = {"steps": "Steps", "tokens": "Million tokens", "flops": "TFLOPs", "seconds": "Seconds"}
SCALES = {"tokens": 1e6, "flops": 1e12}
FIRST_AMOUNTS = {"tokens": 1.0, "flops": 5.0, "seconds": 60.0}
UNIT_NAMES = {"steps": "Steps", "tokens": "Tokens", "flops": "FLOPs", "seconds": "Seconds"}


def choose_budget(place: Any, name: str, steps: int) -> tuple[int, str]:
    """Widgets in `place` for a budget that starts at so many `steps`; (steps, budget as RunConfig has them)."""
    unit = persistent_segments(
        "Budget in",
        list(UNIT_NAMES),
        "budget_unit",
        "steps",
        place=place,
        format_func=UNIT_NAMES.__getitem__,
        help=BUDGET_HELP,
    )
    if unit == "steps":
        value = persistent(f"steps_{name}", steps)
        return int(place.number_input("Steps", 1, 1_000_000, help="Optimizer steps.", **value)), ""
    value = persistent(f"budget_{unit}", FIRST_AMOUNTS[unit])
    amount = place.number_input(AMOUNT_LABELS[unit], 0.001, 1e9, format="%g", **value)
    return steps, Budget(float(amount) * SCALES.get(unit, 1.0), unit).exact


def show_outlook(outlook: CostEstimate, budget: str = "") -> None:
    """What the run is expected to take of its `budget`, which RunConfig has; in words where it takes no step."""
    if outlook.steps == 0:
        st.caption("It takes no training step: the student is made and scored at once.")
        return
    fixed = "as the clock decides" if budget and parse_budget(budget).unit == "seconds" else "fixed at the start"
    precision = "at most" if outlook.full_rows else "about"
    tile_row(
        (
            ("Steps", f"{outlook.steps:,}" if outlook.steps is not None else "–", fixed),
            ("Tokens", format_number(outlook.tokens) if outlook.tokens is not None else "–", precision),
            ("Work", format_number(outlook.flops, "FLOP") if outlook.flops is not None else "–", precision),
            ("Training", format_duration(outlook.seconds) if outlook.seconds is not None else "–", "as measured here"),
        )
    )
    if outlook.steps is None:
        st.caption("How many steps that gives is timed when the run starts: no run like it has been timed here yet.")
    elif outlook.full_rows:
        st.caption("For rows without padding; the run looks at its text before it starts.")
