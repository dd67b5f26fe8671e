"""The fill-in playground: what teacher and student put into the blanks of a sentence, side by side."""

from __future__ import annotations

import re

import pandas as pd
import streamlit as st

from app.elements.text import escape_markdown, list_words
from app.session import caches
from app.session.link import set_link_text
from app.session.widget_values import start_from_link, widget_key, widget_value
from engine.inspection.fill_in import BLANK, Filled, agreement
from engine.inspection.probe import ProbeError
from engine.model.saved_models import Model

REFLEXIVE = re.compile(r"(?:my|your|him|her|it)self|(?:our|your|them)selves", re.IGNORECASE)
WORD = re.compile(r"[^\W\d_]+")


def with_a_blank(sentence: str) -> str:
    """`sentence` with one word hidden: a reflexive, which its subject decides, or else the longest word.

    A sentence without a word becomes a blank.
    """
    words = list(WORD.finditer(sentence))
    if not words:
        return BLANK
    chosen = next((word for word in words if REFLEXIVE.fullmatch(word[0])), None)
    chosen = chosen or max(words, key=lambda word: len(word[0]))
    return sentence[: chosen.start()] + BLANK + sentence[chosen.end() :]


CANDIDATES = 6  # candidates of each model
COLOURS = {"Teacher": "blue", "Student": "orange"}
MOST_TYPED = 100_000  # letters; more than that a box swallows without a word
MOST_BLANKS = 12  # drawn; a sentence may have more


def show_fill_in(teacher: Model, student: Model, start: str, key: str) -> None:
    """Widgets and tables for any number of [MASK]s. `start`: the sentence to begin with."""
    for role, model in (("teacher", teacher), ("student", student)):
        if model.bert.head is None:
            st.info(
                f"This {role} has no masked-LM head: it learned a task and was never asked for a word. Attention, "
                "layers and tasks show what it knows.",
                icon=":material/block:",
            )
            return
    name = f"blanks_{key}"
    start_from_link(name, "blanks", start)
    text = st.text_input(
        f"Sentence with {BLANK}",
        widget_value(name),
        MOST_TYPED,
        key=widget_key(name),
        help=f"Write {BLANK} wherever a word should be found, as often as you like. All are hidden at the same time.",
    )
    set_link_text("blanks", text, start)
    try:
        seen = {"Teacher": caches.fill_blanks(teacher, text), "Student": caches.fill_blanks(student, text)}
        agreed = agreement(seen["Teacher"], seen["Student"])
    except ProbeError as error:
        st.warning(str(error), icon=":material/edit:")
        return
    warn_of_unknown(seen["Teacher"])
    same, shared = sum(one for one, _ in agreed), sum(mass for _, mass in agreed) / len(agreed)
    count = "1 blank" if len(agreed) == 1 else f"{len(agreed)} blanks"
    st.markdown(
        f"Same first word in **{same} of {count}**; on average the two share **{shared:.0%}** of their probability."
    )
    for role, filled in seen.items():
        st.caption(f"{role}: {_filled_sentence(filled)}")
    for blank, (first, mass) in enumerate(agreed[:MOST_BLANKS]):
        note = "same first word" if first else "different first words"
        st.markdown(f"**Blank {blank + 1}**: {note}, {mass:.0%} of the probability shared")
        for column, (role, filled) in zip(st.columns(2, gap="large"), seen.items(), strict=True):
            table = pd.DataFrame(filled.candidates(blank, CANDIDATES), columns=[role, "probability"])
            column.dataframe(
                table,
                hide_index=True,
                width="stretch",
                key=f"blank_{key}_{role}_{blank}",
                column_config={
                    "probability": st.column_config.ProgressColumn(
                        "Probability", format="percent", min_value=0.0, max_value=1.0, color=COLOURS[role]
                    )
                },
            )
    if len(agreed) > MOST_BLANKS:
        st.caption(f"Tables of the first {MOST_BLANKS} blanks; the sentence has {len(agreed)}.")


def warn_of_unknown(filled: Filled) -> None:
    """Names the words that the vocabulary does not have, if any."""
    if filled.unknown:
        st.warning(f"Not in the vocabulary: {list_words(filled.unknown)}.", icon=":material/help:")


def _filled_sentence(filled: Filled) -> str:
    """The text with each blank's first candidate in it, as markdown in which nothing is markup."""
    words = list(filled.tokens)
    for blank, place in enumerate(filled.blanks):
        words[place] = filled.candidates(blank, 1)[0][0]
    joined = " ".join(words[1:-1]).replace(" ##", "")
    return escape_markdown(re.sub(r" (?=[.,!?])", "", joined))
