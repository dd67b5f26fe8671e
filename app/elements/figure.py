"""A plotly figure on a page, with what keeps it: its camera saves it as SVG, a button below it what it draws as CSV."""

from __future__ import annotations

import re
from typing import Any

import streamlit as st

from app.elements.buttons import figure_csv_button
from app.elements.plotly_base import PLOTLY_CONFIG

FOCUS_RING_STYLE = (  # plotly's own ring is black, on dark paper too
    "<style>.stPlotlyChart .modebar-btn:focus-visible{outline:2px solid var(--st-primary-color,#c8500a)!important}"
    "</style>"
)


def show_figure(
    figure: Any, key: str, alt: str, *, csv_key: str = "", narrow_height: tuple[float, int] | None = None, **more: Any
) -> Any:
    """Draws `figure` as all figures are drawn; what plotly's element returns. `alt` says what is to be seen.

    Args:
        csv_key: the key of a CSV button near by that saves the same numbers; empty: the figure brings its own.
        narrow_height: (a, b) of a figure whose scales are tied: where it is w pixels wide, nothing is drawn below
            a w + b pixels, and the empty rest of its height is cut off.
        more: for st.plotly_chart.
    """
    name = "heirloom-" + re.sub(r"[^\w.-]+", "-", key).strip("-")
    picture = {**PLOTLY_CONFIG, "toImageButtonOptions": {"format": "svg", "filename": name}}
    where: Any = st
    st.html(FOCUS_RING_STYLE)
    if narrow_height:
        where = st.container(key=f"narrow_{key}")
        slope, offset = narrow_height
        block = f".st-key-narrow_{re.sub(r'[^a-zA-Z0-9_-]', '-', key)}"
        where.html(
            f"<style>{block}{{container-type:inline-size}}{block}>.stElementContainer:has(.stPlotlyChart)"
            f"{{max-height:calc({100 * slope:.1f}cqw + {offset}px);overflow:hidden}}</style>"
        )
    found = where.plotly_chart(figure, theme=None, key=key, alt=alt, config=picture, **more)
    if not csv_key:
        figure_csv_button(figure, key, name)
    return found
