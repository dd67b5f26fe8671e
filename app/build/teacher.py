"""Who teaches, on the build page: a choice among the shipped ones or a name, and the card of the chosen one."""

from __future__ import annotations

from html import escape

import streamlit as st

from app.build.method import METHOD_WIDGET
from app.elements.text import escape_markdown
from app.session.widget_values import persistent, set_widget_value
from app.session.widgets import persistent_segments
from engine.methods.registry import METHODS
from engine.sizing.cost import parameters
from engine.teachers import catalog
from engine.teachers.catalog import Card

OFFERED = [name for name in catalog.TEACHERS if name not in ("blank", "minilm-early", "minilm-original")]
HELP = (
    "hub:OWNER/NAME for a BERT or ALBERT of the Hub; local:FOLDER for a checkpoint on this machine; run:ID for the "
    "student of a finished run, so that compressions can be chained; minilm-original for MiniLM "
    "without a head, minilm-early for the adapter that taught the experiments in English."
)


def choose_teacher() -> str:
    """Widgets that name a teacher; its name."""
    name = persistent_segments("Teacher", OFFERED, "build_teacher", "microworld", format_func=_teacher_label)
    other = st.text_input(
        "Or another teacher",
        max_chars=300,
        placeholder="hub:google-bert/bert-base-uncased, local:FOLDER or run:ID",
        help=HELP,
        **persistent("other_teacher", ""),
    )
    return other.strip() or str(name)


def _teacher_label(name: str) -> str:
    try:
        return catalog.teacher_card(name).label
    except catalog.TeacherError:  # said in full once it is chosen
        return name


def show_card(card: Card) -> None:
    """What is known of a teacher before it is loaded; offers adaptation to one without a masked-LM head."""
    count = parameters(card.shape.replace(mlm_head=card.has_head))
    accuracy = card.scores.get("masked_accuracy")
    rows = {
        "Shape": str(card.shape) + (", as ALBERT" if card.shape.family == "albert" else ""),
        "Parameters": f"{count:,}",
        "Trained": card.about,
        "Objective": card.objective,
        "Licence": card.licence,
        "Fills in": f"{accuracy:.1%} of hidden words of held-out text" if accuracy is not None else "not scored yet",
    }
    closeness = [(part, card.scores.get(f"{part}_cosine")) for part in ("sentence", "attention")]
    if all(value is not None for _, value in closeness):
        rows["Near its original"] = ", ".join(f"{part} cosine {value:.2f}" for part, value in closeness)
    cells = "".join(
        f'<dt style="opacity:.7">{escape(name)}</dt><dd style="margin:0;overflow-wrap:anywhere">{escape(value)}</dd>'
        for name, value in rows.items()
    )
    with st.container(border=True):
        st.html(
            '<dl style="display:grid;grid-template-columns:6.5rem 1fr;gap:.25rem .75rem;margin:0;padding:0;'
            f'font-size:.9rem">{cells}</dl>'
        )
    for note in card.notes:
        st.warning(escape_markdown(note), icon=":material/info:")
    if not card.has_head:
        st.warning(
            "This teacher has no masked-LM head of its own: the one it gets here is new and knows nothing yet. Train "
            "one first, then let that run teach.",
            icon=":material/psychology_alt:",
        )
        for method in (method for method in METHODS.values() if method.about.adds_head):
            st.button(
                f"Train a head: {method.about.label}",
                icon=":material/school:",
                on_click=set_widget_value,
                args=(METHOD_WIDGET, method.about.name),
                help="Chooses this method below. When its run has finished, its name as a teacher is run:ID.",
            )
