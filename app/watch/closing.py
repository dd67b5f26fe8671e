"""How dims close, drawn: strips of compactor norms, and what closing saves."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import pandas as pd
import streamlit as st

from app.elements.buttons import lazy_csv_button
from app.elements.figure import show_figure
from app.elements.theme import Theme
from app.session.browser import current_theme
from app.watch.compactor_norms import INITIAL_NORM, MILLION, CompactorNorms, kept_shares, positive_number
from app.watch.curves import CurveAxis, Event, draw_curve
from app.watch.norm_charts import norm_heatmap, norm_strips

EXPLANATION = (
    "Each strip is a group: dims that must stay or go together, in the teacher's order; behind it, how many it keeps. "
    "A dim's brightness is the mean length (L2 norm) of its compactor vectors. They are born with length 1; those of "
    "a closing dim shrink to 0, and then the dim is taken out of every matrix. When the last has gone, what is left is "
    "multiplied out and goes on as the plain student, unless the compactors are to be kept to the end."
)
LOW_CURVE = 215  # pixels of a curve beside the strips


def show_closing(
    run_id: str, norm_history: Sequence[CompactorNorms], steps: Sequence[Event], axis: CurveAxis, *, film: bool
) -> None:
    """The newest of `norm_history`, or with `film` the one a slider chooses; beside it dims kept and time a step."""
    colours = current_theme()
    left, right = st.columns([3, 2], gap="large")
    with left:
        if film:
            _step_film(run_id, norm_history)
        else:
            _show_strips(norm_history[-1], colours)
        st.caption(EXPLANATION)
    frame, goals = kept_shares(norm_history)
    lines = [colours.student] if len(frame.columns) == 1 else list(colours.series)[: len(frame.columns)]
    if goals.nunique() == 1:
        frame, lines = frame.assign(goal=goals.iloc[0]), [*lines, colours.quiet]
    else:
        frame = frame.assign(**{f"{name}, goal": goal for name, goal in goals.items()})
        lines += [colours.paler(line) for line in lines]
    draw_curve(right, "Share of dims kept", frame, lines, "%", axis, LOW_CURVE)
    if steps:
        times = pd.DataFrame({"time a step": {event["step"]: 1000 * event["step_seconds"] for event in steps}})
        draw_curve(right, "Time a step", times, [colours.student], "ms", axis, LOW_CURVE)


def show_multiply_adds(place: Any, start: Event, norm_history: Sequence[CompactorNorms], axis: CurveAxis) -> bool:
    """Multiply-adds per token over `axis` between the teacher's and the student's; False where they are not known."""
    colours, full = current_theme(), start.get("multiply_adds_per_token")
    by_step = {norms.step: norms.multiply_adds for norms in norm_history if norms.multiply_adds}
    teacher, student = positive_number(full, "teacher"), positive_number(full, "student")
    if not (by_step and teacher and student):
        return False
    frame = pd.DataFrame({"now": by_step}).assign(teacher=teacher, student=student) / MILLION
    lines = [colours.student, colours.teacher, colours.paler(colours.student)]
    draw_curve(place, "Multiply-adds, forward pass", frame, lines, "million a token", axis)
    return True


@st.fragment
def _step_film(run_id: str, norm_history: Sequence[CompactorNorms]) -> None:
    """The pictures of a run that has ended: a slider below them chooses the step.

    Strips unless one wants to point at a dim: plotly leaves the place empty for a moment whenever the step changes.
    """
    colours, by_step = current_theme(), {norms.step: norms for norms in norm_history}
    screen, step = st.container(), norm_history[-1].step
    left, right = st.columns([2, 1], gap="medium", vertical_alignment="bottom")
    if len(by_step) > 1:
        step = left.select_slider(
            "Step of the picture",
            list(by_step),
            step,
            format_func=lambda step: f"step {step:,}",
            key=f"film_{run_id}",
            label_visibility="collapsed",
        )
    help_text = "Tells group, dim and norm of the place you point at, and can be saved as a picture."
    point = right.toggle("Point at dims", key=f"point_{run_id}", help=help_text)
    head = ["group", "first dim", "last dim", "mean length"]
    lazy_csv_button(head, partial(_norm_rows, by_step[step]), f"{run_id}-dims-step-{step}", "norms_csv")
    with screen:
        if not point:
            _show_strips(by_step[step], colours)
            return
        st.markdown(f"**Dims closing**, step {step:,}")
        show_figure(
            norm_heatmap(by_step[step], colours),
            key=f"norms_{run_id}",
            alt=f"Norms of the compactor vectors of every dim of {len(by_step[step].groups)} groups at step {step}.",
            csv_key="norms_csv",
        )


def _norm_rows(norms: CompactorNorms) -> Iterator[list[object]]:
    """Every number of a picture; where dims are many, a number stands for neighbours."""
    for group in norms.groups:
        for (first, last), norm in zip(group.bounds(), group.norms, strict=True):
            yield [group.label, first, last, f"{norm / INITIAL_NORM:.2f}"]


def _show_strips(norms: CompactorNorms, colours: Theme) -> None:
    st.markdown(f"**Dims closing**, step {norms.step:,}")
    st.html(norm_strips(norms, colours))
