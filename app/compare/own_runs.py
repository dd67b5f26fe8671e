"""A person's own finished runs, compared in one scatter and one table. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.compare.experiment import choose_cost_axis, choose_runs, draw_scatter, measure_title
from app.compare.points import COST_AXES, run_points
from app.elements.buttons import csv_button
from app.elements.tables import html_table
from app.session.browser import current_theme
from engine.experiments.grid import MEASURES
from engine.storage.runs import Run

QUALITIES = ("retained", "masked_accuracy", "pair_accuracy")
CHOSEN_AT_FIRST = 6  # runs


def show_own_runs(runs: Sequence[Run]) -> None:
    """Draws the runs that are chosen; says where to get one when there is none."""
    if not runs:
        st.info(
            "There is no finished run yet. Build a student; it can be compared here.", icon=":material/construction:"
        )
        st.page_link("app/pages/build.py", label="Build a student", icon=":material/construction:")
        return
    chosen = choose_runs(runs, "compare_runs", "Runs", CHOSEN_AT_FIRST)
    left, right = st.columns(2)
    axis = choose_cost_axis(left, "axis_own")
    measure = right.selectbox("Quality", QUALITIES, format_func=measure_title, key="own_measure")
    draw_scatter(run_points(chosen, axis, measure), axis, measure, "scatter_own")
    every = {name: {point.run: point for point in run_points(chosen, COST_AXES[name], measure)} for name in COST_AXES}
    rows = [
        [
            next((every[name][run.id].note for name in COST_AXES if run.id in every[name]), "its card cannot be read"),
            run.id,
            *(f"{every[name][run.id].x:,.1f}" if run.id in every[name] else "" for name in COST_AXES),
            next((f"{every[name][run.id].y:.1f}" for name in COST_AXES if run.id in every[name]), ""),
        ]
        for run in chosen
    ]
    head = ["what it is", "run", *(f"{it.title.lower()}, {it.unit.split()[0]}" for it in COST_AXES.values())]
    if rows:
        head.append(f"{MEASURES[measure]}, %")
        st.html(html_table(head, rows, current_theme()))
        csv_button(head, rows, "runs", "own_csv")
    st.caption(
        "One run has one seed and no interval: a difference between two of them may be chance. Recipes run several "
        "seeds. Retained is a share of the run's own teacher's masked accuracy."
    )
