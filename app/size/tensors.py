"""Every tensor of the chosen model: a map of them by size, and a table."""

from __future__ import annotations

import streamlit as st

from app.elements.bars import part_label
from app.elements.figure import shown
from app.elements.tables import table
from app.elements.text import plain
from app.elements.theme import theme
from app.session import caches as state
from app.size.answers import Model
from app.size.charts import tensor_map
from engine.sizing.comparison import Comparison
from engine.sizing.tensors import tensor_kinds


def tensors(now: Comparison, this: Model) -> None:
    """A treemap of the tensors, and all of them in a table; a lit-up part leaves only its own."""
    colours = theme(state.dark())
    entries = [entry for entry in tensor_kinds(this.shape) if not now.part or entry.part == now.part]
    only = f", only {part_label(now.part)}" if now.part else ""
    st.markdown(f"**{plain(this.name)}**{only}. Areas are parameters; click a part to enlarge it.")
    shown(
        tensor_map(entries, this.colour, colours),
        key="size_tensor_map",
        alt=f"Parameters of every tensor of {this.name}; the table below has the numbers",
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
    st.html(table(head, rows, colours, bold=[len(rows) - 1]))
    st.caption("Stored: how many such tensors there are; 0: it is another's. Runs: how often a forward pass uses it.")
