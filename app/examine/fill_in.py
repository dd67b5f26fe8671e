"""Fill in: what teacher and student put into the blanks of a sentence, side by side."""

from __future__ import annotations

import re
from typing import Any

import pandas as pd
import streamlit as st

from app.elements.text import escape_markdown, join_word_pieces, list_words
from app.session import caches
from app.session.widgets import linked_text
from engine.inspection.fill_in import BLANK, FilledBlanks, blank_agreement
from engine.inspection.probe import ProbeError
from engine.model.saved_models import Model

REFLEXIVE = re.compile(r"(?:my|your|him|her|it)self|(?:our|your|them)selves", re.IGNORECASE)
WORD = re.compile(r"[^\W\d_]+")
CANDIDATES = 6  # of each model
COLOURS = {"Teacher": "blue", "Student": "orange"}
MOST_BLANKS = 12  # drawn; a sentence may have more


def hide_a_word(sentence: str) -> str:
    """`sentence` with one word hidden: a reflexive, which its subject decides, or else the longest word.

    A sentence without a word becomes a blank.
    """
    words = list(WORD.finditer(sentence))
    if not words:
        return BLANK
    chosen = next((word for word in words if REFLEXIVE.fullmatch(word[0])), None)
    chosen = chosen or max(words, key=lambda word: len(word[0]))
    return sentence[: chosen.start()] + BLANK + sentence[chosen.end() :]


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
    text = linked_text(
        f"Sentence with {BLANK}",
        f"blanks_{key}",
        "blanks",
        start,
        help=f"Write {BLANK} wherever a word should be found, as often as you like. All are hidden at the same time.",
    )
    try:
        filled_by_role = {"Teacher": caches.fill_blanks(teacher, text), "Student": caches.fill_blanks(student, text)}
        agreed = blank_agreement(filled_by_role["Teacher"], filled_by_role["Student"])
    except ProbeError as error:
        st.warning(escape_markdown(error), icon=":material/edit:")
        return
    warn_of_unknown(filled_by_role["Teacher"])
    same, shared = sum(equal for equal, _ in agreed), sum(mass for _, mass in agreed) / len(agreed)
    count = "1 blank" if len(agreed) == 1 else f"{len(agreed)} blanks"
    st.markdown(
        f"Same first word in **{same} of {count}**; on average the two share **{shared:.0%}** of their probability."
    )
    for role, filled in filled_by_role.items():
        st.caption(f"{role}: {_filled_sentence(filled)}")
    for blank, (equal, mass) in enumerate(agreed[:MOST_BLANKS]):
        note = "same first word" if equal else "different first words"
        st.markdown(f"**Blank {blank + 1}**: {note}, {mass:.0%} of the probability shared")
        for column, (role, filled) in zip(st.columns(2, gap="large"), filled_by_role.items(), strict=True):
            show_candidates(column, filled, blank, CANDIDATES, (role, role), f"blank_{key}_{role}_{blank}")
    if len(agreed) > MOST_BLANKS:
        st.caption(f"Tables of the first {MOST_BLANKS} blanks; the sentence has {len(agreed)}.")


def show_candidates(
    place: Any, filled: FilledBlanks, blank: int, count: int, heading: tuple[str, str], key: str
) -> None:
    """The `count` most probable words of a blank as a table in `place`.

    `heading`: what stands above the words, and the role ("Teacher" or "Student") whose colour the bars have.
    """
    title, role = heading
    place.dataframe(
        pd.DataFrame(filled.candidates(blank, count), columns=[title, "probability"]),
        hide_index=True,
        width="stretch",
        key=key,
        column_config={
            "probability": st.column_config.ProgressColumn(
                "Probability", format="percent", min_value=0.0, max_value=1.0, color=COLOURS[role]
            )
        },
    )


def warn_of_unknown(filled: FilledBlanks) -> None:
    """Names the words that the vocabulary does not have, if any."""
    if filled.unknown:
        st.warning(f"Not in the vocabulary: {list_words(filled.unknown)}.", icon=":material/help:")


def _filled_sentence(filled: FilledBlanks) -> str:
    """The text with each blank's first candidate in it, as markdown in which nothing is markup."""
    words = list(filled.tokens)
    for blank, place in enumerate(filled.blanks):
        words[place] = filled.candidates(blank, 1)[0][0]
    return escape_markdown(join_word_pieces(words[1:-1]))
