"""The tabs below the answer; only the open one is drawn, so that no chart library is loaded before it is needed."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.size import choice as choice
from app.size.answers import Model
from engine.sizing.comparison import Comparison

LABELS = {
    "formula": "Formula",
    "tensors": "Tensors",
    "cost": "Run and train",
    "backwards": "Backwards",
    "what-if": "What if",
    "papers": "Papers",
}


def tabs(now: Comparison, models: Sequence[Model]) -> None:
    """Draws the tabs and what is in the open one, about the chosen model or the last that fits together."""
    this = next((model for model in models if model.index == now.chosen), models[-1])
    key = choice.held("size_tab", LABELS[now.tab])
    names = {label: name for name, label in LABELS.items()}
    made = st.tabs(
        list(LABELS.values()),
        default=LABELS[now.tab],
        key=key,
        on_change=choice.callback(key, LABELS[now.tab], lambda label: choice.change(tab=names[label])),
    )
    with made[list(LABELS).index(now.tab)]:
        if now.tab == "formula":
            from app.size.formula import formula

            formula(now, this, models)
        elif now.tab == "tensors":
            from app.size.tensors import tensors

            tensors(now, this)
        elif now.tab == "cost":
            from app.size.cost import cost

            cost(now, models)
        elif now.tab == "backwards":
            from app.size.budget_search import backwards

            backwards(now, this, models[0])
        elif now.tab == "what-if":
            from app.size.what_if import what_if

            what_if(now, this)
        else:
            from app.size.papers import papers

            papers(models)
