"""The method on the build page: chosen, then explained in words and as a formula."""

from __future__ import annotations

import streamlit as st

from app.session.widget_values import persistent_choice
from engine.methods.base import USES, Method, description
from engine.methods.registry import METHODS

METHOD_WIDGET = "build_method"  # the widget's name: buttons elsewhere choose, too
ABOUT_USES = {
    "logit": "compares predictions with the teacher's",
    "feature": "compares something inside both models",
    "hard": "learns from the truth: hidden words, or a task's labels",
    "task-agnostic": "needs no labelled task",
}


def choose_method() -> type[Method]:
    """The method that is chosen, explained: its lesson, its loss, what it uses."""
    names = list(METHODS)
    name = st.selectbox(
        "Method",
        format_func=lambda name: METHODS[name].about.label,
        label_visibility="collapsed",
        help="MobileBERT is out of scope for now: it learns from a teacher of its own build, which would have to be "
        "trained first.",
        **persistent_choice(METHOD_WIDGET, names, names[0]),
    )
    method = METHODS[name]
    st.markdown(description(method))
    st.latex(method.about.formula)
    st.markdown(
        " ".join(
            f":green-badge[:material/check: {use}]"
            if use in method.about.uses
            else f":gray-badge[:material/close: {use}]"
            for use in USES
        ),
        help="\n\n".join(f"**{use}**: {about}" for use, about in ABOUT_USES.items())
        + "\n\nThe columns of Table 1 in the WID paper, arXiv 2305.09098.",
    )
    st.caption(method.about.paper)
    return method
