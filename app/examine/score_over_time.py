"""The inheritance score of a run over its training, and of those that can stand beside it, as curves."""

from __future__ import annotations

import contextlib
from typing import Any

import streamlit as st

from app.elements.buttons import as_csv
from app.elements.figure import shown
from app.elements.tables import table
from app.elements.theme import Theme
from app.examine import inheritance_charts as charts
from app.examine.inheritance import PAIRINGS, thousandths
from app.session import caches as state
from engine.inheritance.curve import AXES, InheritanceCurve
from engine.storage.runs import Run, RunError, list_runs

MOST_RUNS = 6  # on one chart


def course(run: Run) -> InheritanceCurve | None:
    """The score of `run` at its evaluations; None where it has not told any."""
    size = run.events_path.stat().st_size if run.events_path.exists() else 0
    return state.score_curve(str(run.path), size)


def _kin(curve: InheritanceCurve) -> dict[str, InheritanceCurve]:
    """The curves that can share a chart with `curve`: same teacher, text and length. Newest first."""
    found: dict[str, InheritanceCurve] = {}
    for other in list_runs(state.RUNS):
        with contextlib.suppress(RunError):  # another run's damage is shown on its own page
            its = course(other)
            if its is not None and its.comparable_by == curve.comparable_by:
                found[other.id] = its
    return found


def show_course(run: Run, curve: InheritanceCurve | None, colours: Theme) -> None:
    """The curves, and where they end as a table. `curve`: the run's own."""
    st.markdown("**The inheritance score over training**")
    if curve is None:
        st.caption("This run has not told its score.")
        return
    curves = _kin(curve)
    first, second, third = st.columns([3, 1, 1], vertical_alignment="bottom")
    chosen = first.multiselect(
        "Runs",
        list(curves),
        _suggested(run.id, curves),
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
    drawn = [curves[id] for id in chosen]
    silent = [one.run for one in drawn if all(x is None for x in one.axes[axis]) or not any(one.scores[pairing])]
    if silent:
        st.info(f"Not drawn, for they do not tell it: {', '.join(silent)}.", icon=":material/info:")
    names = _names(drawn)
    shown(
        charts.score_curves(drawn, names, pairing, axis, AXES[axis], colours),
        key=f"film_curves_{run.id}",
        alt="Inheritance score over training, one line a run.",
        beside="film_csv",
    )
    st.caption(
        "0 is what freshly initialised students of the same shape score, 1 is the teacher's own attention. Nobody was "
        "asked to imitate attention unless the method says so: WID, soft targets and learning from scratch have no "
        "loss on it. Bands: 95% intervals over a dozen sentences."
    )
    st.html(_ends(drawn, names, pairing, colours))
    _curves_as_csv(drawn, names, pairing)


def _suggested(run_id: str, curves: dict[str, InheritanceCurve]) -> list[str]:
    """The run itself and the newest of every other method with its shape."""
    own = curves.get(run_id)
    found = [run_id] if own else []
    methods = {own.method} if own else set()
    for id, curve in curves.items():
        if len(found) < MOST_RUNS and curve.method not in methods and (own is None or curve.shape == own.shape):
            found.append(id)
            methods.add(curve.method)
    return found


def _names(curves: list[InheritanceCurve]) -> list[str]:
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
        + [figure[part] for part in ("score", "low", "high")]
        for curve, name in zip(curves, names, strict=True)
        for at, figure in enumerate(curve.scores[pairing])
        if figure
    ]
    as_csv(["method", "run", *axes, "score", "low", "high"], lines, "inheritance-over-time", "film_csv")


def _ends(curves: list[InheritanceCurve], names: list[str], pairing: str, colours: Theme) -> str:
    """The last score of every run as a table, nulls beside."""

    def said(figure: Any) -> str:
        if not figure:
            return "–"
        score, low, high = (thousandths(figure[name]) for name in ("score", "low", "high"))
        return f"{score} ({low} to {high})"

    rows = [
        [
            name,
            f"{curve.axes['steps'][-1]:,.0f}",
            said(curve.scores[pairing][-1]),
            said(curve.shuffled[-1]),
            said(curve.random[-1]),
        ]
        for curve, name in zip(curves, names, strict=True)
    ]
    return table(["run", "steps", "score at its end", "heads shuffled", "random student"], rows, colours)
