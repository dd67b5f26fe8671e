"""A row of numbers, each in a box with its label and a note."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.elements.text import escape_markdown


def tile_row(tiles: Sequence[tuple[str, str, str]]) -> None:
    """Draws (label, value, note) tiles side by side, equally wide; on a phone two in a row."""
    with st.container(horizontal=True):
        for label, value, note in tiles:
            with st.container():
                words, below = escape_markdown(label), escape_markdown(note)
                st.metric(words, value, below, delta_color="off", delta_arrow="off", border=True)
