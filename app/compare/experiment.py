"""One experiment, drawn: its picture, its table, how it was made and how to have it again. Needs no torch."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from app.compare.charts import Dot, cost_quality_scatter, dot_plot
from app.compare.points import COST_AXES, CostAxis, PlacedPoint, in_fitting_unit, in_percent, outcome_points, run_points
from app.elements.buttons import csv_button
from app.elements.figure import show_figure
from app.elements.tables import html_table
from app.elements.text import elapsed, escape_markdown
from app.session.browser import current_theme
from engine.experiments.grid import MEASURES
from engine.experiments.outcome import Outcome
from engine.experiments.outcome_table import measured_names, nulls_line, paper_difference, probe_line, table_cells
from engine.sizing.published_tables import SENTENCE_ORDER, SENTENCE_ORDER_SOURCE
from engine.storage.runs import Run

TASKS = ("masked_accuracy", "nsp", "sop")
TASK_LABELS = {"masked_accuracy": "masked words", "nsp": "next sentence", "sop": "sentence order"}


def show_experiment(found: Outcome, runs: Sequence[Run]) -> None:
    """Draws `found`; `runs`: the person's own finished runs, which may stand in the same scatter."""
    st.markdown(escape_markdown(found.about))
    if not found.complete:
        done = sum(len(row.runs) for row in found.rows)
        st.info(
            f"Not finished yet: {done:,} of {found.wanted_runs:,} runs are in it. The command below goes on.",
            icon=":material/hourglass:",
        )
    if not found.rows:
        st.info("There is no row in it yet.", icon=":material/hourglass:")
    elif set(TASKS) <= set(measured_names(found)):
        _task_by_task(found)
    elif any(row.paper is not None for row in found.rows):
        _paper_comparison(found)
    else:
        _cost_and_quality(found, runs)
    _outcome_table(found)
    _how_to_repeat(found)


def _cost_and_quality(found: Outcome, runs: Sequence[Run]) -> None:
    """Cost against quality."""
    left, middle, right = st.columns([2, 2, 2])
    axis = choose_cost_axis(left, f"axis_{found.name}")
    measure = _choose_measure(middle, found)
    with right:
        own = choose_runs(runs, f"runs_{found.name}", "Add my own runs")
    points = outcome_points(found, axis, measure)
    if own:
        points += run_points(own, axis, measure)
        st.caption(
            "Own runs may have had another teacher, other text or another number of steps; retained is a share of "
            "their own teacher's masked accuracy. One run has no interval."
        )
    draw_scatter(points, axis, measure, f"scatter_{found.name}")


def draw_scatter(points: list[PlacedPoint], axis: CostAxis, measure: str, key: str) -> None:
    """The scatter of `points`, or words where there is none."""
    if not points:
        st.info(f"No model here has a known {axis.title.lower()}; choose another axis.", icon=":material/info:")
        return
    title = measure_title(measure)
    points, axis = in_fitting_unit(points, axis)
    show_figure(
        cost_quality_scatter(points, axis, title, current_theme()),
        key=f"{key}_{axis.name}_{measure}",
        alt=f"{title} over {axis.unit}, a point a model; the table below has the numbers.",
    )


def choose_runs(runs: Sequence[Run], key: str, label: str, preselected: int = 0) -> list[Run]:
    """The runs that a person chooses among `runs`, newest first; `preselected` of them from the start."""
    by_id = {run.id: run for run in runs}
    ids = list(by_id)
    help = "Newest first." if ids else "There is no finished run yet."
    chosen = st.multiselect(label, ids, ids[:preselected], key=key, disabled=not ids, help=help, placeholder="None")
    return [by_id[id] for id in chosen]


def choose_cost_axis(place: Any, key: str) -> CostAxis:
    """The cost that a person chooses in `place`."""
    return COST_AXES[
        place.selectbox("Against", list(COST_AXES), format_func=lambda name: COST_AXES[name].title, key=key)
    ]


def _choose_measure(place: Any, found: Outcome) -> str:
    key = f"measure_{found.name}"
    return str(place.selectbox("Quality", measured_names(found), format_func=measure_title, key=key))


def measure_title(name: str) -> str:
    """What a measure is called at the beginning of a line."""
    words = MEASURES.get(name, name)
    return words[:1].upper() + words[1:]


def _paper_comparison(found: Outcome) -> None:
    """A paper's table beside what came out here, as differences or as measured."""
    left, right = st.columns(2)
    measure = _choose_measure(left, found)
    shown = right.segmented_control(
        "Show", ["Points apart", "As measured"], default="Points apart", key=f"as_{found.name}", required=True
    )
    differences, colours = shown == "Points apart", current_theme()
    baseline = _baseline_labels(found)
    ours, papers = [], []
    for row in found.rows:
        numbers = row.differences.get(measure) if differences else row.measured.get(measure)
        if numbers is not None:
            ours.append(Dot(row.label, row.series, *in_percent(numbers)))
        value = paper_difference(found, row) if differences else row.paper
        if value is not None:
            papers.append(Dot(row.label, row.series, value, None))
    zero = baseline if differences else ""
    sides = (
        (_own_heading(found), ours, f"points of {MEASURES.get(measure, measure)}", "ours", "with 95% intervals"),
        (f"In the paper ({escape_markdown(found.paper)})", papers, "points of the paper's score", "paper", "one run"),
    )
    for column, (title, dots, unit, name, kind) in zip(st.columns(2, gap="large"), sides, strict=True):
        with column:
            st.markdown(f"**{title}**")
            if not dots:
                st.caption("Nothing to show for this choice.")
                continue
            unit = unit if differences else unit.replace("points of ", "") + ", %"
            show_figure(
                dot_plot(dots, unit, colours, zero=zero),
                key=f"{name}_{found.name}_{measure}_{differences}",
                alt=f"{title}: {unit}, {kind}; the table below has the numbers.",
            )
    st.caption(
        "The two sides have axes of their own: a point of accuracy here is not a point of the paper's score. Compare "
        "which rows lose and which keep. Differences are taken seed by seed, on the same text in the same order; "
        f"the paper's score is the {escape_markdown(found.paper_score)}, printed without an interval."
    )


def _own_heading(found: Outcome) -> str:
    settings = found.card.get("settings")
    corpus = settings.get("corpus") if isinstance(settings, dict) else None
    return "Here, in the microworld" if corpus == "microworld" else "Here, in real text"


def _baseline_labels(found: Outcome) -> str:
    """What the rows are compared with."""
    bases = {row.label for row in found.rows if any(other.base == row.name for other in found.rows)}
    return " or ".join(sorted(bases))


def _task_by_task(found: Outcome) -> None:
    """ALBERT's Table 5: what each model was trained on, and what it was asked."""
    colours = current_theme()
    ours = [
        Dot(TASK_LABELS[task], row.label, *in_percent(numbers))
        for task in TASKS
        for row in found.rows
        if (numbers := row.measured.get(task)) is not None
    ]
    labels = {row.name: row.label for row in found.rows}
    papers = [
        Dot(TASK_LABELS[task], labels.get(numbers.trained_on, numbers.trained_on), score, None)
        for numbers in SENTENCE_ORDER
        for task, score in zip(TASKS, (numbers.mlm, numbers.nsp, numbers.sop), strict=True)
    ]
    no_nulls: dict[str, float] = {}
    nulls = {TASK_LABELS[task]: 100 * found.nulls[task] for task in TASKS if task in found.nulls}
    sides = (
        (_own_heading(found), ours, nulls, "ours"),
        (f"In the paper ({SENTENCE_ORDER_SOURCE})", papers, no_nulls, "paper"),
    )
    for column, (title, dots, marks, name) in zip(st.columns(2, gap="large"), sides, strict=True):
        with column:
            st.markdown(f"**{title}**")
            show_figure(
                dot_plot(dots, "accuracy, %", colours, nulls=marks),
                key=f"{name}_{found.name}",
                alt=f"{title}: accuracy on three questions of models trained on three; the tables have the numbers.",
            )
    st.caption(
        "A colour is what a model learned beside masked words; a line is what it was asked. Here every "
        "model is asked about pairs in one way, its own head or none: a logistic regression on its frozen [CLS], "
        "fitted to 3,072 training pairs, scored on held-out ones. Null: always the commonest word; for pairs, "
        "the same read-out of random weights. The paper does not say how it asked a model about pairs that it never "
        "learned. Masked words are hidden in text of the form that a model learned from, whole stories or two "
        "segments; the table also has whole stories for all, which models of pairs have never seen."
    )
    head = ["learned", *(f"{TASK_LABELS[task]}, %" for task in TASKS), "paper's average score"]
    rows = [
        [
            labels.get(numbers.trained_on, numbers.trained_on),
            *(f"{score:.1f}" for score in (numbers.mlm, numbers.nsp, numbers.sop)),
            f"{numbers.score}",
        ]
        for numbers in SENTENCE_ORDER
    ]
    st.html(html_table(head, rows, colours, caption=f"The paper's: {SENTENCE_ORDER_SOURCE}"))


def _outcome_table(found: Outcome) -> None:
    if not found.rows:
        return
    crossed = set(TASKS) <= set(measured_names(found))
    head, rows = table_cells(found, differences=not crossed)
    with st.expander("The numbers as a table", expanded=crossed):
        st.html(html_table(head, rows, current_theme()))
        csv_button(head, rows, found.name, "outcome_csv")
    seeds = max(len(row.seeds) for row in found.rows)
    words = (
        f"± is half the 95% interval of the mean over {seeds} seeds (Student's t)." if seeds > 1 else "One seed each."
    )
    st.caption(escape_markdown(f"{words} {nulls_line(found)} {probe_line(found)}"))
    notes = [
        f"- **{escape_markdown(row.label)}**: {escape_markdown(row.note)}"
        for row in found.rows
        if row.note and row.runs
    ]
    if notes:
        st.markdown("\n".join(notes))


def _how_to_repeat(found: Outcome) -> None:
    """Where it was made, and the command that makes it again."""
    card = found.card
    versions = card.get("versions")
    facts = [
        str(card.get("date", "")),
        str(card.get("machine", "")),
        f"{elapsed(card['seconds'])} of training" if isinstance(card.get("seconds"), int | float) else "",
        ", ".join(f"{name} {it}" for name, it in versions.items()) if isinstance(versions, dict) else "",
    ]
    st.markdown("**The same again**")
    command = card.get("command")
    if isinstance(command, str) and command:
        st.code(command[:500], language="sh", wrap_lines=True)
    st.caption(escape_markdown(" · ".join(word[:200] for word in facts if word)))
