"""A button that saves a table as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
import streamlit as st

from engine.keep import harmless


def figure_as_csv(figure: Any, key: str) -> None:
    """The button for what a plotly figure draws."""
    _button(lambda: csv_text(("series", "x", "y", "value"), figure_lines(figure)), key, f"{key}_drawn_csv")


def as_csv(head: Sequence[str], lines: Iterable[Sequence[object]], name: str, key: str) -> None:
    """The button; the file is called `name`. What a spreadsheet would take for a formula is marked as text."""
    text = csv_text(head, lines)
    _button(lambda: text, name, key)


def deferred_csv(head: Sequence[str], lines: Callable[[], Iterable[Sequence[object]]], name: str, key: str) -> None:
    """As as_csv, for many lines: they are made when the button is pressed."""
    _button(lambda: csv_text(head, lines()), name, key)


def _button(text: Callable[[], str], name: str, key: str) -> None:
    """The text is made when the button is pressed."""
    st.download_button(
        "Data as CSV",
        lambda: text().encode(),
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


def figure_lines(figure: Any) -> list[list[object]]:
    """What a plotly figure draws as lines (series, x, y, value): a cell of a heatmap, or a point without a value."""
    across, up = (_names(axis) for axis in (figure.layout.xaxis, figure.layout.yaxis))
    lines: list[list[object]] = []
    for trace in figure.data:
        if trace.type == "heatmap":
            grid = np.asarray(trace.z)
            xs = list(range(grid.shape[1])) if trace.x is None else list(trace.x)
            ys = list(range(grid.shape[0])) if trace.y is None else list(trace.y)
            cells = ((x, y, grid[at, to]) for at, y in enumerate(ys) for to, x in enumerate(xs))
            lines += [
                [trace.name or "", across.get(x, x), up.get(y, y), f"{z:.6g}"] for x, y, z in cells if np.isfinite(z)
            ]
        elif trace.x is not None and trace.y is not None and trace.hoverinfo != "skip":
            lines += [
                [trace.name or "", across.get(x, x), up.get(y, y), ""] for x, y in zip(trace.x, trace.y, strict=True)
            ]
    return lines


def _names(axis: Any) -> dict[object, str]:
    """What stands at an axis' ticks."""
    return dict(zip(axis.tickvals or (), axis.ticktext or (), strict=False))


def _cell(value: object) -> str:
    words = str(value).replace("\N{MINUS SIGN}", "-")
    try:
        float(words)
    except ValueError:
        return harmless(words)
    return words
