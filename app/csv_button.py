"""A button that saves a table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence

import streamlit as st

from engine.keep import harmless


def as_csv(head: Sequence[str], lines: Iterable[Sequence[object]], name: str, key: str) -> None:
    """The button; the file is called `name`. What a spreadsheet would take for a formula is marked as text."""
    st.download_button(
        "Data as CSV",
        csv_text(head, lines).encode(),
        f"{name}.csv",
        "text/csv",
        key=key,
        icon=":material/download:",
        on_click="ignore",
    )


def csv_text(head: Sequence[str], lines: Iterable[Sequence[object]]) -> str:
    """The table as CSV; true minus signs become those that spreadsheets know."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([map(_cell, row) for row in (head, *lines)])
    return text.getvalue()


def _cell(value: object) -> str:
    words = str(value).replace("\N{MINUS SIGN}", "-")
    try:
        float(words)
    except ValueError:
        return harmless(words)
    return words
