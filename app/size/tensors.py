"""Every tensor of the chosen model: a map of them by size, and a table."""

from __future__ import annotations

import streamlit as st

from app.elements.bars import part_label
from app.elements.figure import show_figure
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.session.browser import current_theme
from app.size.answers import SizedModel
from app.size.charts import tensor_treemap
from engine.sizing.comparison import Comparison
from engine.sizing.tensors import tensor_kinds


def show_tensors(comparison: Comparison, chosen: SizedModel) -> None:
    """A treemap of the tensors, and all of them in a table; a lit-up part leaves only its own."""
    colours = current_theme()
    entries = [entry for entry in tensor_kinds(chosen.shape) if not comparison.part or entry.part == comparison.part]
    only = f", only {part_label(comparison.part)}" if comparison.part else ""
    st.markdown(f"**{escape_markdown(chosen.name)}**{only}. Areas are parameters; click a part to enlarge it.")
    show_figure(
        tensor_treemap(entries, chosen.colour, colours),
        key="size_tensor_map",
        alt=f"Parameters of every tensor of {chosen.name}; the table below has the numbers",
    )
    rows = [
        [
            entry.name,
            entry.formula.replace(" x ", " × "),
            f"{entry.count:,}",
            f"{entry.stored:,}",
            f"{entry.executed:,}",
            f"{entry.parameters:,}",
        ]
        for entry in entries
    ]
    rows.append(["total", "", "", "", "", f"{sum(entry.parameters for entry in entries):,}"])
    head = ["tensor", "formula", "in one", "stored", "runs", "parameters"]
    st.html(html_table(head, rows, colours, bold=[len(rows) - 1]))
    st.caption("Stored: how many such tensors there are; 0: it is another's. Runs: how often a forward pass uses it.")
