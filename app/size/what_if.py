"""What-if curves: the count while one control moves."""

from __future__ import annotations

import streamlit as st

from app.elements.figure import show_figure
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.session.browser import current_theme
from app.size.answers import SizedModel
from app.size.charts import sweep_chart
from app.size.comparison_state import change_comparison, controlled
from engine.sizing.comparison import Comparison, editable_fields
from engine.sizing.sweep import SWEEPABLE, Sweep, sweep


def show_what_if(comparison: Comparison, chosen: SizedModel) -> None:
    """One click on a control draws the count over it."""
    st.pills(
        "Move",
        list(SWEEPABLE),
        required=True,
        format_func=lambda name: SWEEPABLE[name],
        **controlled("size_sweep", comparison.sweep, lambda name: change_comparison(sweep=name), "default"),
    )
    curve = sweep(editable_fields(chosen.shape), comparison.sweep)
    title, colours = SWEEPABLE[curve.field], current_theme()
    st.markdown(f"**{escape_markdown(chosen.name)}**, everything else as it is. {_remark(curve, title)}")
    show_figure(
        sweep_chart(curve, title, chosen.colour, colours),
        key="size_sweep_chart",
        alt=f"Parameters over {title}; the table below has the numbers",
    )
    with st.expander("The same as a table"):
        rows = [
            [_value_text(value) + (", now" if value == curve.now else ""), f"{count:,}"]
            for value, count in zip(curve.values, curve.counts, strict=True)
        ]
        st.html(html_table([title, "parameters"], rows, colours))


def _remark(curve: Sweep, title: str) -> str:
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


def _value_text(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:,}" if isinstance(value, int) else str(value)
