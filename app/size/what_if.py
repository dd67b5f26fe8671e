"""What-if curves: the count while one control moves."""

from __future__ import annotations

import streamlit as st

from app.elements.figure import shown
from app.elements.tables import table
from app.elements.text import plain
from app.elements.theme import theme
from app.session import caches as state
from app.size import choice as choice
from app.size.answers import Model
from app.size.charts import sweep_chart
from engine.sizing.comparison import Comparison, editable_fields
from engine.sizing.sweep import SWEEPABLE, Sweep, sweep


def what_if(now: Comparison, this: Model) -> None:
    """One click on a control draws the count over it."""
    key = choice.held("size_sweep", now.sweep)
    st.pills(
        "Move",
        list(SWEEPABLE),
        default=now.sweep,
        required=True,
        format_func=lambda name: SWEEPABLE[name],
        key=key,
        on_change=choice.callback(key, now.sweep, lambda name: choice.change(sweep=name)),
    )
    curve = sweep(editable_fields(this.shape), now.sweep)
    title, colours = SWEEPABLE[curve.field], theme(state.dark())
    st.markdown(f"**{plain(this.name)}**, everything else as it is. {_said(curve, title)}")
    shown(
        sweep_chart(curve, title, this.colour, colours),
        key="size_sweep_chart",
        alt=f"Parameters over {title}; the table below has the numbers",
    )
    with st.expander("The same as a table"):
        rows = [
            [_shown(value) + (", now" if value == curve.now else ""), f"{count:,}"]
            for value, count in zip(curve.values, curve.counts, strict=True)
        ]
        st.html(table([title, "parameters"], rows, colours))


def _said(curve: Sweep, title: str) -> str:
    if curve.crossing is not None:
        return (
            f"Factorising saves parameters up to $E = {curve.crossing:,}$; beyond that a table as wide as the model is "
            "smaller.".replace(",", "{,}")
            if curve.crossing
            else "Factorising never saves parameters here."
        )
    if len(set(curve.counts)) == 1:
        return f"{title}: it does not change the count."
    return ""


def _shown(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
