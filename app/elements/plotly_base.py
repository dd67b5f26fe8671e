"""What all plotly figures have in common: layout, toolbar, colour bar, harmless labels. Never imports streamlit."""

from __future__ import annotations

import numpy as np
import plotly.graph_objects as go

from app.elements.theme import Theme, with_opacity

FONT = {"size": 13, "family": "Source Sans, sans-serif"}  # the page's
PLOTLY_CONFIG = {  # the only button of a figure saves it, and is there for fingers, which cannot hover
    "displaylogo": False,
    "displayModeBar": True,
    "modeBarButtons": [["toImage"]],
}
TOOLBAR_HEIGHT = 28  # pixels above a figure, so that what saves it covers nothing
SYMBOLS = ("circle", "diamond", "square", "triangle-up", "cross", "star")  # of lines and points, in this order
COLOUR_BAR = {"thickness": 10, "outlinewidth": 0, "lenmode": "pixels", "len": 220, "y": 1, "yanchor": "top"}


def apply_layout(figure: go.Figure, colours: Theme, height: int, **more: object) -> go.Figure:
    """What all figures have in common; `height` in pixels, `more` for plotly's layout."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": TOOLBAR_HEIGHT, "b": 8},
        paper_bgcolor=colours.paper,  # so that a saved picture can be read anywhere
        plot_bgcolor="rgba(0,0,0,0)",
        font={"color": colours.ink, **FONT},
        hoverlabel={"font": FONT},
        legend={"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0},
        **more,
    )
    axis = {"gridcolor": colours.grid, "zerolinecolor": colours.grid, "linecolor": colours.grid, "automargin": True}
    figure.update_xaxes(**axis, ticks="", ticklabelstandoff=4)
    return figure.update_yaxes(**axis, ticks="", ticklabelstandoff=6)


def add_band(
    figure: go.Figure, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, opacity: float = 0.15
) -> None:
    """What lies between `low` and `high` (point,) over `x`, as a surface that says nothing by itself."""
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=with_opacity(colour, opacity),
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )


def escape_label(text: str) -> str:
    """`text` with nothing that plotly would take for markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
