"""Buttons: save a table or what a figure draws as CSV; copy the page's link."""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import streamlit as st

from app.elements.theme import Theme
from engine.sizing.comparison_export import csv_line, escape_csv_cell

FIGURE_COLUMNS = ("series", "x", "y", "value", "interval below", "interval above")


def figure_csv_button(figure: Any, key: str, name: str) -> None:
    """The button for what a plotly figure draws; the file is called `name`."""
    _csv_download(lambda: csv_text(FIGURE_COLUMNS, figure_rows(figure)), name, f"{key}_drawn_csv")


def csv_button(head: Sequence[str], lines: Iterable[Sequence[object]], name: str, key: str) -> None:
    """The button; the file is called `name`. What a spreadsheet would take for a formula is marked as text."""
    text = csv_text(head, lines)
    _csv_download(lambda: text, name, key)


def lazy_csv_button(head: Sequence[str], lines: Callable[[], Iterable[Sequence[object]]], name: str, key: str) -> None:
    """As as_csv, for many lines: they are made when the button is pressed."""
    _csv_download(lambda: csv_text(head, lines()), name, key)


def _csv_download(text: Callable[[], str], name: str, key: str) -> None:
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
    return "".join(f"{csv_line(map(_csv_cell, row))}\n" for row in (head, *lines))


def figure_rows(figure: Any) -> list[list[object]]:
    """What a plotly figure draws as lines, with the columns of FIGURE.

    A cell of a heatmap, a flow (from x to y), a part of a whole (x within y) has a value; a point has none, but
    perhaps an interval.
    """
    lines: list[list[object]] = []
    for trace in figure.data:
        found = {"heatmap": _heatmap_rows, "sankey": _sankey_rows, "treemap": _treemap_rows}.get(
            trace.type, _point_rows
        )(trace, figure.layout)
        lines += [[*line, "", ""] if len(line) == 4 else line for line in found]
    return lines


def _heatmap_rows(trace: Any, layout: Any) -> Iterator[list[object]]:
    across, up = _tick_labels(layout.xaxis), _tick_labels(layout.yaxis)
    grid = np.asarray(trace.z)
    xs = list(range(grid.shape[1])) if trace.x is None else list(trace.x)
    ys = list(range(grid.shape[0])) if trace.y is None else list(trace.y)
    for row, y in enumerate(ys):
        for column, x in enumerate(xs):
            if np.isfinite(grid[row, column]):
                yield [_without_markup(trace.name), across.get(x, x), up.get(y, y), f"{grid[row, column]:.6g}"]


def _sankey_rows(trace: Any, layout: Any) -> Iterator[list[object]]:
    link, names = trace.link, [_without_markup(name) for name in trace.node.label]
    for source, target, value in zip(link.source, link.target, link.value, strict=True):
        yield ["", names[source], names[target], f"{value:.6g}"]


def _treemap_rows(trace: Any, layout: Any) -> Iterator[list[object]]:
    for name, parent, value in zip(trace.labels, trace.parents, trace.values, strict=True):
        yield ["", _without_markup(name), _without_markup(parent), f"{value:.12g}"]


def _point_rows(trace: Any, layout: Any) -> Iterator[list[object]]:
    if trace.x is None or trace.y is None or trace.hoverinfo == "skip":
        return
    across, up = _tick_labels(layout.xaxis), _tick_labels(layout.yaxis)
    error_bars = next(
        (bar for bar in (trace.error_x, trace.error_y) if bar.array is not None and bar.visible is not False), None
    )
    above: Any = [""] * len(trace.x) if error_bars is None else error_bars.array
    below: Any = above if error_bars is None or error_bars.arrayminus is None else error_bars.arrayminus
    for x, y, low, high in zip(trace.x, trace.y, below, above, strict=True):
        yield [
            _without_markup(trace.name),
            across.get(x, _without_markup(x)),
            up.get(y, _without_markup(y)),
            "",
            low,
            high,
        ]


def _tick_labels(axis: Any) -> dict[object, str]:
    """What stands at an axis' ticks."""
    return dict(zip(axis.tickvals or (), map(_without_markup, axis.ticktext or ()), strict=False))


def _without_markup(text: Any) -> Any:
    """A figure's text without its markup; numbers as they are."""
    if text is None:
        return ""
    return html.unescape(re.sub(r"<[^>]*>", " ", text)) if isinstance(text, str) else text


def _csv_cell(value: object) -> str:
    words = str(value).replace("\N{MINUS SIGN}", "-")
    try:
        float(words)
    except ValueError:
        return escape_csv_cell(words)
    return words


COPY_SCRIPT = """
const button = document.querySelector('button'), said = document.querySelector('span');
button.addEventListener('click', async () => {
  const link = window.parent.location.href;
  let done = false;
  try { await window.parent.navigator.clipboard.writeText(link); done = true; } catch (refused) {}
  if (!done) {  // not a secure page, or the browser refuses: the old way
    const field = document.createElement('textarea');
    field.value = link;
    document.body.appendChild(field);
    field.select();
    done = document.execCommand('copy');
    field.remove();
  }
  said.textContent = done ? 'Copied' : 'Copy the address above';
  setTimeout(() => { said.textContent = 'Copy link'; }, 2000);
});
"""


def copy_link_page(colours: Theme) -> str:
    """The button as a page of its own."""
    return f"""<!doctype html><html lang="en"><head><meta charset="utf-8">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'">
<style>
body {{ margin: 0; }}
button {{ font: 400 15px sans-serif; color: {colours.ink}; background: transparent; width: 100%;
  border: 1px solid {colours.grid}; border-radius: 6px; height: 40px; cursor: pointer; box-sizing: border-box; }}
button:hover, button:focus-visible {{ border-color: {colours.student}; color: {colours.student}; outline: none; }}
</style></head><body><button type="button"><span aria-live="polite">Copy link</span></button>
<script>{COPY_SCRIPT}</script></body></html>"""
