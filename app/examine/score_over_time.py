"""The inheritance score of a run over its training, and of those that can stand beside it, as curves."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import streamlit as st

from app.elements.buttons import csv_button
from app.elements.figure import show_figure
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.elements.theme import Theme
from app.examine import inheritance_charts
from app.examine.inheritance import PAIRINGS, score_text
from app.session import caches
from engine.inheritance.curve import AXES, InheritanceCurve
from engine.storage.runs import Run, RunError, list_runs

MOST_RUNS = 6  # on one chart


def read_score_curve(run: Run) -> InheritanceCurve | None:
    """The score of `run` at its evaluations; None where it has not told any."""
    size = run.events_path.stat().st_size if run.events_path.exists() else 0
    return caches.inheritance_curve(str(run.path), size)


def _comparable_curves(curve: InheritanceCurve) -> dict[str, InheritanceCurve]:
    """The curves that can share a chart with `curve`: same teacher, text and length. Newest first."""
    found: dict[str, InheritanceCurve] = {}
    for run in list_runs(caches.RUNS):
        with contextlib.suppress(RunError):  # another run's damage is shown on its own page
            other_curve = read_score_curve(run)
            if other_curve is not None and other_curve.comparable_by == curve.comparable_by:
                found[run.id] = other_curve
    return found


def show_score_curves(run: Run, curve: InheritanceCurve | None, colours: Theme) -> None:
    """The curves, and where they end as a table. `curve`: the run's own."""
    st.markdown("**The inheritance score over training**")
    if curve is None:
        st.caption("This run has not told its score.")
        return
    curves = _comparable_curves(curve)
    first, second, third = st.columns([3, 1, 1], vertical_alignment="bottom")
    chosen = first.multiselect(
        "Runs",
        list(curves),
        _default_runs(run.id, curves),
        format_func=lambda id: f"{curves[id].method} {curves[id].shape} ({id})",
        key=f"film_runs_{run.id}",
        max_selections=MOST_RUNS,
        help="Runs with the same teacher and text.",
    )
    axis = second.selectbox("Against", list(AXES), format_func=AXES.__getitem__, key=f"film_axis_{run.id}")
    pairing = third.selectbox(
        "Paired by", list(PAIRINGS), format_func=PAIRINGS.__getitem__, key=f"film_pairing_{run.id}"
    )
    if not chosen:
        st.caption("Choose at least one run.")
        return
    chosen_curves = [curves[id] for id in chosen]
    missing = [
        shown.run
        for shown in chosen_curves
        if all(x is None for x in shown.axes[axis]) or not any(shown.scores[pairing])
    ]
    if missing:
        st.info(f"Not drawn, for they do not tell it: {escape_markdown(', '.join(missing))}.", icon=":material/info:")
    names = _curve_names(chosen_curves)
    show_figure(
        inheritance_charts.score_curves(chosen_curves, names, pairing, axis, AXES[axis], colours),
        key=f"film_curves_{run.id}",
        alt="Inheritance score over training, one line a run.",
        csv_key="film_csv",
    )
    st.caption(
        "0 is what freshly initialised students of the same shape score, 1 is the teacher's own attention. Nobody was "
        "asked to imitate attention unless the method says so: WID, soft targets and learning from scratch have no "
        "loss on it. Bands: 95% intervals over a dozen sentences."
    )
    st.html(_final_scores(chosen_curves, names, pairing, colours))
    _curves_as_csv(chosen_curves, names, pairing)


def _default_runs(run_id: str, curves: dict[str, InheritanceCurve]) -> list[str]:
    """The run itself and the newest of every other method with its shape."""
    own_curve = curves.get(run_id)
    suggested = [run_id] if own_curve else []
    methods = {own_curve.method} if own_curve else set()
    for id, curve in curves.items():
        if (
            len(suggested) < MOST_RUNS
            and curve.method not in methods
            and (own_curve is None or curve.shape == own_curve.shape)
        ):
            suggested.append(id)
            methods.add(curve.method)
    return suggested


def _curve_names(curves: list[InheritanceCurve]) -> list[str]:
    """The methods, with what tells two runs of one method apart."""
    methods = [curve.method for curve in curves]
    return [
        f"{curve.method} {curve.shape}" + (f" {curve.run[:15]}" if methods.count(curve.method) > 1 else "")
        for curve in curves
    ]


def _curves_as_csv(curves: list[InheritanceCurve], names: list[str], pairing: str) -> None:
    """Every point of the curves, for a spreadsheet."""
    axes = list(dict.fromkeys(axis for curve in curves for axis in curve.axes))
    lines = [
        [name, curve.run, *(curve.axes[axis][at] if axis in curve.axes else "" for axis in axes)]
        + ["" if math.isnan(figure[part]) else figure[part] for part in ("score", "low", "high")]
        for curve, name in zip(curves, names, strict=True)
        for at, figure in enumerate(curve.scores[pairing])
        if figure
    ]
    csv_button(["method", "run", *axes, "score", "low", "high"], lines, "inheritance-over-time", "film_csv")


def _final_scores(curves: list[InheritanceCurve], names: list[str], pairing: str, colours: Theme) -> str:
    """The last score of every run as a table, nulls beside."""

    def score_cell(figure: Any) -> str:
        if not figure:
            return "–"
        score, low, high = (score_text(figure[name]) for name in ("score", "low", "high"))
        return score if math.isnan(figure["low"]) else f"{score} ({low} to {high})"

    rows = [
        [
            name,
            f"{curve.axes['steps'][-1]:,.0f}",
            score_cell(curve.scores[pairing][-1]),
            score_cell(curve.shuffled[-1]),
            score_cell(curve.random[-1]),
        ]
        for curve, name in zip(curves, names, strict=True)
    ]
    return html_table(["run", "steps", "score at its end", "heads shuffled", "random student"], rows, colours)
