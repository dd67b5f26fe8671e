"""How much of its teacher's attention a student has: the score, the nulls beside it, and which head is whose."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from app.elements.buttons import csv_button
from app.elements.figure import show_figure
from app.elements.tables import html_table
from app.elements.text import escape_markdown, format_number
from app.elements.theme import Theme
from app.elements.tiles import tile_row
from app.examine import inheritance_charts
from app.session import caches
from app.session.browser import current_theme, recall, remember
from engine.inheritance.score import DEFINITION
from engine.inheritance.scratch_baseline import (
    SCRATCH,
    find_scratch_baseline,
    scratch_baseline_command,
    scratch_baseline_config,
    scratch_baseline_name,
)
from engine.storage.runs import Run
from engine.training import job

if TYPE_CHECKING:
    from engine.inheritance.report import InheritanceReport, MeasuredInheritance
    from engine.inheritance.score import ScoreInterval
    from engine.model.saved_models import Model

MEASURES = {"divergence": "Jensen-Shannon divergence", "cosine": "Cosine"}
PAIRINGS = {"matched": "Best matching", "same_place": "Same place"}
NULLS = {
    "from_scratch": "From scratch, same budget",
    "shuffled": "This student, heads shuffled",
    "random": "Random students",
}
SQUARE_HEIGHT = (1.0, -50)  # of heads by heads: the colour bar takes that much from its width
THIS_STUDENT = "This student"
SHORT_NAMES = {NULLS["from_scratch"]: "From scratch", NULLS["shuffled"]: "Heads shuffled"}  # for a tile of a phone
OWNER_NAMES = {"teacher": "teacher", "student": "student", "from_scratch": "student from scratch"}
EXPLANATION = (
    "*Best matching* pairs heads one to one so that they are as alike as can be (optimal assignment), and pairs the "
    "random students' heads in the same way; *same place* pairs head 3 of layer 2 with head 3 of layer 2, or of the "
    "layer at the same relative depth. Attention to [CLS] and [SEP] is left out unless you count it, and what remains "
    "is made to add up to 1, for most heads give these two most of their attention and would all look like heirs. "
    "Intervals are 95%, from drawing the sentences again 1,000 times."
)


def show_inheritance(teacher: Model, student: Model, run: Run) -> None:
    """The tab of `run`, whose student this is."""
    colours, twin = current_theme(), find_scratch_baseline(student.card, caches.RUNS)
    st.markdown(f"**{DEFINITION.split(', where')[0]}**")
    st.caption(f"where {DEFINITION.split(', where ')[1]} {EXPLANATION}")
    lines, count, keep_special = _sentence_controls(run.id)
    if st.button("Score", icon=":material/family_history:", type="primary", key=f"score_{run.id}"):
        _score_and_remember(
            teacher,
            student,
            caches.student_model(twin.student_dir) if twin else None,
            lines,
            count,
            keep_special,
            run.id,
        )
    report: InheritanceReport | None = recall(f"inheritance_{run.id}")
    if report is None:
        st.caption(
            "Nothing is scored yet. 64 sentences take a moment for a small model and some seconds for a real one."
        )
    else:
        _show_report(report, run.id, colours)
    if student.card.get("method") != SCRATCH and twin is None:
        _offer_twin(student.card)


def _sentence_controls(run_id: str) -> tuple[str | None, int, bool]:
    """(a person's own lines, or None; how many held-out sentences; whether special tokens count)."""
    left, middle, right = st.columns([2, 1, 2], vertical_alignment="bottom")
    own_lines = left.radio(
        "Sentences", ["Held-out text", "My own"], horizontal=True, key=f"inheritance_text_{run_id}"
    ) == "My own"  # fmt: skip
    count = middle.selectbox(
        "How many",
        [16, 64, 256],
        index=1,
        key=f"inheritance_count_{run_id}",
        disabled=own_lines,
        help="Held-out sentences.",
    )
    keep_special = right.toggle(
        "Count [CLS] and [SEP]", key=f"inheritance_special_{run_id}", help="Attention to them flatters everybody."
    )
    lines = None
    if own_lines:
        lines = st.text_area(
            "One sentence a line", key=f"inheritance_lines_{run_id}", max_chars=400_000, help="At most 256 lines."
        )
    return lines, int(count), keep_special


def _score_and_remember(
    teacher: Model,
    student: Model,
    scratch: Model | None,
    lines: str | None,
    count: int,
    keep_special: bool,
    run_id: str,
) -> None:
    bar = st.progress(0.0, "Reading the sentences")
    try:
        report = caches.score_inheritance(
            teacher,
            student,
            scratch,
            lines,
            count,
            keep_special,
            lambda share, doing: bar.progress(min(1.0, share), doing),
        )
    except ValueError as error:
        st.warning(escape_markdown(error), icon=":material/edit:")
    else:
        remember(f"inheritance_{run_id}", report)
    finally:
        bar.empty()


def _show_report(report: InheritanceReport, run_id: str, colours: Theme) -> None:
    for note in report.notes:
        st.info(note, icon=":material/info:")
    left, right = st.columns(2)
    measure = left.radio(
        "Heads are compared by", list(MEASURES), format_func=MEASURES.__getitem__, horizontal=True,
        key=f"inheritance_measure_{run_id}",
    )  # fmt: skip
    measured = report.measures[measure]
    pairings = [name for name, found in measured.scores.items() if found is not None]
    pairing = right.radio(
        "and paired by",
        pairings,
        format_func=PAIRINGS.__getitem__,
        horizontal=True,
        key=f"inheritance_pairing_{run_id}",
    )
    score = measured.scores[pairing]
    assert score is not None
    figures = _score_and_nulls(measured, pairing)
    unit = "bits" if measure == "divergence" else "1 - cosine"
    tile_row(
        [
            (
                SHORT_NAMES.get(name, name),
                score_text(figure.score),
                f"95%: {_interval_text(figure)}",
            )
            for name, figure in figures.items()
        ]
    )
    first, second = st.columns(2, gap="large")
    with first:
        st.markdown("**The score and its nulls**")
        show_figure(
            inheritance_charts.score_dots(figures, colours, THIS_STUDENT),
            key=f"inheritance_dots_{run_id}",
            alt="Inheritance score of the student, and of what to hold beside it.",
            csv_key=f"inheritance_csv_{run_id}",
        )
    layers = {f"layer {number}": figure for number, figure in enumerate(score.layers, start=1) if figure is not None}
    with second:
        st.markdown("**Layer by layer of the student**")
        show_figure(
            inheritance_charts.score_dots(layers, colours, ""),
            key=f"inheritance_layers_{run_id}",
            alt="Inheritance score of each layer of the student.",
            csv_key=f"inheritance_csv_{run_id}",
        )
    head, rows = _score_table({**figures, **layers}, unit)
    st.html(html_table(head, rows, colours, bold=[0]))
    csv_button(head, rows, "inheritance-score", f"inheritance_csv_{run_id}")
    words = ", ".join(f"{share:.0%} of the {who}'s" for who, share in report.attention_among_words.items())
    tokens = sum(map(len, report.sentences.ids))
    st.caption(
        f"Over {len(report.sentences):,} sentences of {tokens:,} tokens. Of the attention of words, {words} goes to "
        "words"
        + (", too." if report.keep_special else " and is what is compared here.")
        + " How far rows are from even "
        "attention, on average: "
        + ", ".join(f"{OWNER_NAMES[who]} {bits:.3f} bits" for who, bits in report.sharpness.items())
        + ". A student that looks evenly at everything scores about 0."
    )
    _matrices(report, measured, pairing, run_id, colours)
    _downloads(report, measured, run_id)


def score_text(score: float) -> str:
    """A score as it is shown, with a true minus; never minus nothing."""
    return format_number(score, ".3f")


def _interval_text(figure: ScoreInterval) -> str:
    return "–" if math.isnan(figure.low) else f"{score_text(figure.low)} to {score_text(figure.high)}"


def _score_and_nulls(measured: MeasuredInheritance, pairing: str) -> dict[str, ScoreInterval]:
    """What stands on one axis: the student, then what to hold beside it."""
    score = measured.scores[pairing]
    assert score is not None
    nulls = measured.nulls[pairing]
    return {THIS_STUDENT: score.total, **{NULLS[name]: it for name in NULLS if (it := nulls.get(name)) is not None}}


def _score_table(figures: Mapping[str, ScoreInterval], unit: str) -> tuple[list[str], list[list[str]]]:
    rows = [
        [name, score_text(it.score), _interval_text(it), f"{it.distance:.4f}", f"{it.null:.4f}"]
        for name, it in figures.items()
    ]
    head = ["", "score", "95% interval", f"distance, {unit}", f"random's, {unit}"]
    return head, rows


def _matrices(
    report: InheritanceReport, measured: MeasuredInheritance, pairing: str, run_id: str, colours: Theme
) -> None:
    from engine.inheritance.report import head_places

    student_heads, teacher_heads = head_places(report.student_layers), head_places(report.teacher_layers)
    score = measured.scores[pairing]
    assert score is not None
    left, right = st.columns(2, gap="large")
    with left:
        st.markdown("**Layers by layers**, heads paired within each two as well as can be")
        rows, columns = ([f"layer {number + 1}" for number in range(count)] for count in measured.layers.shape)
        show_figure(
            inheritance_charts.score_matrix(measured.layers, rows, columns, colours),
            key=f"inheritance_by_layer_{run_id}",
            alt="Inheritance score of every student layer for every teacher layer.",
            narrow_height=SQUARE_HEIGHT,
        )
        with st.expander("As a table"):
            st.dataframe(pd.DataFrame(measured.layers.round(3), rows, columns))
    with right:
        st.markdown("**Heads by heads**; a ring: these two are paired")
        rows, columns = ([f"{layer}.{head}" for layer, head in heads_of] for heads_of in (student_heads, teacher_heads))
        edges = tuple(
            [index for index, (_, head) in enumerate(heads_of) if head == 1 and index]
            for heads_of in (student_heads, teacher_heads)
        )
        pairs = [(int(a), int(b)) for a, b in score.pairs]
        show_figure(
            inheritance_charts.score_matrix(measured.heads, rows, columns, colours, pairs, (edges[0], edges[1])),
            key=f"inheritance_by_head_{run_id}",
            alt="Inheritance score of every student head for every teacher head.",
            narrow_height=SQUARE_HEIGHT,
        )
        with st.expander("Which head is whose"):
            st.dataframe(_pair_table(report, measured, pairing), hide_index=True)


def _pair_table(report: InheritanceReport, measured: MeasuredInheritance, pairing: str) -> pd.DataFrame:
    found = measured.scores[pairing]
    assert found is not None
    return pd.DataFrame(
        [
            {"student's layer": a[0], "its head": a[1], "teacher's layer": b[0], "head": b[1], "score": round(value, 4)}
            for a, b, value in report.named_pairs(found)
        ]
    )


def _downloads(report: InheritanceReport, measured: MeasuredInheritance, run_id: str) -> None:
    with st.container(horizontal=True):
        st.download_button(
            "Everything as JSON",
            json.dumps(report.to_json(), indent=1),
            f"{run_id}-inheritance.json",
            "application/json",
            icon=":material/download:",
        )
        st.download_button(
            "Pairs of heads as CSV",
            _pair_table(report, measured, "matched").to_csv(index=False),
            f"{run_id}-heads.csv",
            "text/csv",
            icon=":material/download:",
        )


def _offer_twin(card: Mapping[str, Any]) -> None:
    """No run from scratch stands beside the student: says so, and starts one."""
    card = dict(card)
    with st.container(border=True):
        st.markdown(
            "**No student from scratch stands beside it.** Among your runs none learned from scratch with the same "
            f"shape, text, {card['steps']:,} steps and seed {card['seed']}. Without it nobody can say how much of the "
            "score any student of this size would reach by learning alone."
        )
        if st.button("Train it now", icon=":material/play_arrow:", key=f"twin_{card.get('id')}"):
            try:
                run = job.start(caches.RUNS, scratch_baseline_config(card), scratch_baseline_name(card))
            except ValueError as error:
                st.error(escape_markdown(error), icon=":material/error:")
            else:
                st.switch_page("app/pages/watch.py", query_params={"run": run.id})
        st.code(scratch_baseline_command(card), language="sh", wrap_lines=True)
