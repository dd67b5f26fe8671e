"""Buttons: save a table or what a figure draws as CSV; copy the page's link."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import streamlit as st

from app.elements.theme import Theme
from engine.sizing.comparison_export import escape_csv_cell

FIGURE = ("series", "x", "y", "value", "interval below", "interval above")


def figure_as_csv(figure: Any, key: str, name: str) -> None:
    """The button for what a plotly figure draws; the file is called `name`."""
    _button(lambda: csv_text(FIGURE, figure_lines(figure)), name, f"{key}_drawn_csv")


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
    """What a plotly figure draws as lines, with the columns of FIGURE.

    A cell of a heatmap, a flow (from x to y), a part of a whole (x within y) has a value; a point has none, but
    perhaps an interval.
    """
    lines: list[list[object]] = []
    for trace in figure.data:
        found = {"heatmap": _cells, "sankey": _flows, "treemap": _parts}.get(trace.type, _points)(trace, figure.layout)
        lines += [[*line, "", ""] if len(line) == 4 else line for line in found]
    return lines


def _cells(trace: Any, layout: Any) -> Iterator[list[object]]:
    across, up = _names(layout.xaxis), _names(layout.yaxis)
    grid = np.asarray(trace.z)
    xs = list(range(grid.shape[1])) if trace.x is None else list(trace.x)
    ys = list(range(grid.shape[0])) if trace.y is None else list(trace.y)
    for at, y in enumerate(ys):
        for to, x in enumerate(xs):
            if np.isfinite(grid[at, to]):
                yield [_words(trace.name), across.get(x, x), up.get(y, y), f"{grid[at, to]:.6g}"]


def _flows(trace: Any, layout: Any) -> Iterator[list[object]]:
    link, names = trace.link, [_words(name) for name in trace.node.label]
    for source, target, value in zip(link.source, link.target, link.value, strict=True):
        yield ["", names[source], names[target], f"{value:.6g}"]


def _parts(trace: Any, layout: Any) -> Iterator[list[object]]:
    for name, whole, value in zip(trace.labels, trace.parents, trace.values, strict=True):
        yield ["", _words(name), _words(whole), f"{value:.12g}"]


def _points(trace: Any, layout: Any) -> Iterator[list[object]]:
    if trace.x is None or trace.y is None or trace.hoverinfo == "skip":
        return
    across, up = _names(layout.xaxis), _names(layout.yaxis)
    wide = next(
        (bar for bar in (trace.error_x, trace.error_y) if bar.array is not None and bar.visible is not False), None
    )
    above: Any = [""] * len(trace.x) if wide is None else wide.array
    below: Any = above if wide is None or wide.arrayminus is None else wide.arrayminus
    for x, y, low, high in zip(trace.x, trace.y, below, above, strict=True):
        yield [_words(trace.name), across.get(x, _words(x)), up.get(y, _words(y)), "", low, high]


def _names(axis: Any) -> dict[object, str]:
    """What stands at an axis' ticks."""
    return dict(zip(axis.tickvals or (), map(_words, axis.ticktext or ()), strict=False))


def _words(text: Any) -> Any:
    """A figure's text without its markup; numbers as they are."""
    if text is None:
        return ""
    return html.unescape(re.sub(r"<[^>]*>", " ", text)) if isinstance(text, str) else text


def _cell(value: object) -> str:
    words = str(value).replace("\N{MINUS SIGN}", "-")
    try:
        float(words)
    except ValueError:
        return escape_csv_cell(words)
    return words


SCRIPT = """
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


def copy_link(colours: Theme) -> str:
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
<script>{SCRIPT}</script></body></html>"""
