"""Attention as lines between words: bertviz's head view of both models, or its model view of one."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import streamlit as st

from app.examine.bertviz import head_view, model_view
from app.session.browser import is_dark

if TYPE_CHECKING:
    from engine.inspection.probe import Probe

MOST_NUMBERS = 100_000  # in one document of all layers, 0.9 MB; where there are more, one layer is sent at a time
VIEWS = {
    "heads": "One layer, both models",
    "teacher": "Every layer of the teacher",
    "student": "Every layer of the student",
}


def show_attention_lines(seen: Mapping[str, Probe], sides: Mapping[str, str]) -> None:
    """`seen`: by "teacher" and "student"; `sides`: what stands above each."""
    st.caption(
        f"The same attention drawn by bertviz: its head view, for up to {head_view.MAX_TOKENS} tokens, and its "
        f"model view, for up to {model_view.MAX_TOKENS}. Words on the left look at words on the right."
    )
    chosen = st.radio(
        "What is drawn",
        list(VIEWS),
        format_func=VIEWS.__getitem__,
        horizontal=True,
        key="lines_of",
        bind="query-params",
        label_visibility="collapsed",
    )
    longest, most = (
        max(len(found.tokens) for found in seen.values()),
        head_view.MAX_TOKENS if chosen == "heads" else model_view.MAX_TOKENS,
    )
    if longest > most:
        st.info(
            f"This view holds {most} tokens, for more would take a browser many seconds; the sentence has "
            f"{longest}. Shorten it.",
            icon=":material/content_cut:",
        )
        return
    if chosen != "heads":
        st.markdown(sides[chosen])
        html = model_view.model_view_html(
            seen[chosen].attentions,
            seen[chosen].tokens,
            dark=is_dark(),
            title=f"Attention of the {chosen}",
            second=seen[chosen].second,
        )
        st.iframe(html, alt=f"bertviz model view of the {chosen}'s attention")
        return
    for column, (role, words) in zip(st.columns(2, gap="large"), sides.items(), strict=True):
        with column:
            st.markdown(words)
            count = seen[role].attentions.shape[0]
            layers = None  # all
            if seen[role].attentions.size > MOST_NUMBERS:
                layer = st.selectbox(
                    f"Drawn layer of the {role}", range(1, count + 1), key=f"lines_layer_{role}_{count}"
                )
                layers = [layer - 1]
            html = head_view.head_view_html(
                seen[role].attentions,
                seen[role].tokens,
                dark=is_dark(),
                title=f"Attention of the {role}",
                layer=None,
                include_layers=layers,
                second=seen[role].second,
            )
            st.iframe(html, alt=f"bertviz head view of the {role}'s attention")
