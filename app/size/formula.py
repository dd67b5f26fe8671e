"""The count as a formula, a term for each part, and the real model counted beside it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from html import escape

import streamlit as st

from app.elements.bars import part_label, part_shade
from app.elements.progress import ask_torch
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.session.browser import current_theme, recall, remember
from app.size.answers import TERM_KEY, SizedModel
from engine.sizing.comparison import Comparison
from engine.sizing.cost import parameters
from engine.sizing.formula import Term, formula_symbols, formula_terms
from engine.sizing.shape import Shape
from engine.sizing.tensors import PARTS

VERDICTS_KEY = "size_verdicts"


def show_formula(comparison: Comparison, chosen: SizedModel, models: Sequence[SizedModel]) -> None:
    """The formula of the chosen model, and a button that counts the real models."""
    colours, shape = current_theme(), chosen.shape
    st.markdown(f"**{escape_markdown(chosen.name)}** has {parameters(shape):,} parameters:")
    edges = []
    with st.container(horizontal=True, gap="small"):
        for index, term in enumerate(formula_terms(shape)):
            key = f"{TERM_KEY}_{term.part.replace(' ', '_')}"
            edge = part_shade(chosen.colour, PARTS.index(term.part), colours)
            edges.append(f".st-key-{key}{{border-left:.4rem solid {edge};transition:opacity .12s}}")
            with st.container(border=True, width="content", key=key, gap="xsmall"):
                plus = "+ " if index else ""
                st.markdown(f":small[{plus}{part_label(term.part)}]  \n${term.symbols}$")
                st.html(_term_with_numbers(term))
    st.html(f"<style>{''.join(edges)}</style>")
    meanings = (f"*{name}* = {value:,}, {about}" for name, (about, value) in formula_symbols(shape).items())
    st.caption("; ".join(meanings) + ".")
    _factorisation_note(shape)
    _verify_with_real_models(models)


def _term_with_numbers(term: Term) -> str:
    """The term with its numbers put in, as text: a formula engine would take a quarter of a second for them all."""
    plain_text = term.numbers.replace("{,}", ",").replace("\\cdot", "·")
    powers = re.sub(r"\^(\d)", r"<sup>\1</sup>", escape(plain_text))
    return f'<div style="font-size:.875rem">= {powers}</div><div style="font-weight:650">= {term.value:,}</div>'


def _factorisation_note(shape: Shape) -> None:
    """What factorising the embedding saves, as ALBERT's section 3.1 counts it: tables alone."""
    if not shape.factorised:
        return
    v, e, h = shape.vocab, shape.embedding, shape.hidden
    better = "instead of" if v * e + e * h < v * h else "which is more than"
    sizes = f"VE + EH = {v * e + e * h:,}".replace(",", "{,}"), f"VH = {v * h:,}".replace(",", "{,}")
    st.markdown(f"Factorised words: ${sizes[0]}$ {better} ${sizes[1]}$ (ALBERT, section 3.1; weights alone).")


def _verify_with_real_models(models: Sequence[SizedModel]) -> None:
    st.markdown("##### Is that so?")
    pressed = st.button(
        "Verify with the real models",
        icon=":material/verified:",
        help="Builds each model without memory for its weights, in another process, and counts its tensors.",
    )
    shapes = [model.shape for model in models]
    verdicts: dict[Shape, dict] = recall(VERDICTS_KEY, {})
    if pressed:
        try:
            found = ask_torch("engine.model.count_check", {"shapes": [shape.to_json() for shape in shapes]})
            verdicts = dict(zip(shapes, found["verdicts"], strict=True))
            remember(VERDICTS_KEY, verdicts)
        except ValueError as error:
            st.error(escape_markdown(str(error)))
    rows, unread = [], 0
    for model in models:
        verdict = verdicts.get(model.shape)
        if verdict:
            unread += verdict["unread"]
            agreement = "equal ✓" if verdict["equal"] else "different ✗"
            counted = verdict["counted"] - verdict["unread"]
            rows.append([model.name, f"{verdict['computed']:,}", f"{counted:,}", agreement, verdict["built"]])
    if rows:
        st.html(html_table(["", "by formula", "counted", "", "what was built"], rows, current_theme()))
    if unread:
        st.caption(
            "Not counted: a second copy of an untied decoder's bias, which the library's classes keep and never read."
        )
