"""The tabs below the answer; only the open one is drawn, so that no chart library is loaded before it is needed."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.size.answers import SizedModel
from app.size.comparison_state import change_comparison, controlled
from engine.sizing.comparison import Comparison

LABELS = {
    "formula": "Formula",
    "tensors": "Tensors",
    "cost": "Run and train",
    "backwards": "Backwards",
    "what-if": "What if",
    "papers": "Papers",
}


def show_tabs(comparison: Comparison, models: Sequence[SizedModel]) -> None:
    """Draws the tabs and what is in the open one, about the chosen model or the last that fits together."""
    chosen = next((model for model in models if model.index == comparison.chosen), models[-1])
    names = {label: name for name, label in LABELS.items()}
    tabs = st.tabs(
        list(LABELS.values()),
        **controlled("size_tab", LABELS[comparison.tab], lambda label: change_comparison(tab=names[label]), "default"),
    )
    with tabs[list(LABELS).index(comparison.tab)]:
        if comparison.tab == "formula":
            from app.size.formula import show_formula

            show_formula(comparison, chosen, models)
        elif comparison.tab == "tensors":
            from app.size.tensors import show_tensors

            show_tensors(comparison, chosen)
        elif comparison.tab == "cost":
            from app.size.cost import show_cost

            show_cost(comparison, models)
        elif comparison.tab == "backwards":
            from app.size.budget_search import show_budget_search

            show_budget_search(comparison, chosen, models[0])
        elif comparison.tab == "what-if":
            from app.size.what_if import show_what_if

            show_what_if(comparison, chosen)
        else:
            from app.size.papers import show_papers

            show_papers(models)
