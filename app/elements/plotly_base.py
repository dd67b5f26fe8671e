"""Data in, plotly figure out. Never imports streamlit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from app.elements.theme import Theme, faded

FONT = {"size": 13, "family": "Source Sans, sans-serif"}  # the page's
SAVE = {  # plotly's configuration: the only button of a figure saves it, and is there for fingers, which cannot hover
    "displaylogo": False,
    "displayModeBar": True,
    "modeBarButtons": [["toImage"]],
}
CAMERA = 28  # pixels above a figure, so that what saves it covers nothing
GAP = 0.08  # of a head's width, between heads of a mosaic
COLOURBAR = {"thickness": 10, "outlinewidth": 0, "lenmode": "pixels", "len": 220, "y": 1, "yanchor": "top"}


def layout(figure: go.Figure, colours: Theme, height: int, **more: object) -> go.Figure:
    """What all figures have in common; `height` in pixels, `more` for plotly's layout."""
    figure.update_layout(
        height=height,
        margin={"l": 8, "r": 8, "t": CAMERA, "b": 8},
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


def mosaic(attentions: np.ndarray, role: str, colours: Theme) -> go.Figure:
    """All heads of all layers as one heatmap: (layer, head, pos, pos) in 0-1.

    One uint8 image: a figure a head takes seconds to draw. A transparent square over each head can be clicked; its
    customdata is (layer, head), counted from 1.
    """
    layers, heads, pos, _ = attentions.shape
    gap = max(1, round(pos * GAP))
    side = pos + gap
    canvas = np.zeros((layers * side - gap, heads * side - gap), dtype=np.uint8)
    tiles = np.zeros((layers, side, heads, side), dtype=np.uint8)
    tiles[:, :pos, :, :pos] = np.round(np.clip(attentions, 0, 1) * 100).astype(np.uint8).transpose(0, 2, 1, 3)
    canvas[:] = tiles.reshape(layers * side, heads * side)[: canvas.shape[0], : canvas.shape[1]]
    figure = go.Figure(
        go.Heatmap(
            z=canvas,
            zmin=0,
            zmax=100,
            colorscale=_scale(role, colours),
            showscale=False,
            hoverinfo="skip",
        )
    )
    middles = np.arange(max(layers, heads)) * side + (pos - 1) / 2
    layer, head = (grid.ravel() for grid in np.mgrid[0:layers, 0:heads])
    figure.add_scatter(
        x=middles[head],
        y=middles[layer],
        mode="markers",
        customdata=np.stack([layer + 1, head + 1], 1).tolist(),  # an array would come back from a click as a dict
        marker={"symbol": "square", "size": 18, "opacity": 0},
        hovertemplate="layer %{customdata[0]}, head %{customdata[1]}<extra>click to open</extra>",
        showlegend=False,
    )
    for edge in range(1, layers):
        figure.add_hline(edge * side - gap / 2 - 0.5, line={"color": colours.grid, "width": 1})
    for edge in range(1, heads):
        figure.add_vline(edge * side - gap / 2 - 0.5, line={"color": colours.grid, "width": 1})
    figure.update_xaxes(
        tickvals=middles[:heads],
        ticktext=[str(h + 1) for h in range(heads)],
        title="head",
        side="top",
        showgrid=False,
        constrain="domain",
    )
    figure.update_yaxes(
        tickvals=middles[:layers],
        ticktext=[str(i + 1) for i in range(layers)],
        title="layer",
        autorange="reversed",
        showgrid=False,
        scaleanchor="x",
        constrain="domain",
        constraintoward="top",  # on a narrow screen the rest of the height stays empty below, not above
    )
    return layout(figure, colours, min(900, 90 + round(420 * layers / heads)), clickmode="event+select", dragmode=False)


def one_head(
    attention: np.ndarray, tokens: Sequence[str], role: str, colours: Theme, second: int | None = None
) -> go.Figure:
    """One head's attention (pos, pos) in 0-1: a row is the token that looks, a column the one it looks at.

    `second`: where the second sentence of a pair begins; its tokens get a colour of their own.
    """
    figure = go.Figure(
        go.Heatmap(
            z=attention.astype(np.float32),
            zmin=0,
            zmax=1,
            colorscale=_scale(role, colours),
            customdata=_looks(tokens),
            hovertemplate="%{customdata[0]} looks at %{customdata[1]}: %{z:.0%}<extra></extra>",
            colorbar={**COLOURBAR, "tickformat": ".0%"},
            xgap=1,
            ygap=1,
        )
    )
    return _token_axes(figure, tokens, colours, second)


def difference(
    student: np.ndarray, teacher: np.ndarray, tokens: Sequence[str], colours: Theme, second: int | None = None
) -> go.Figure:
    """Where a student's head looks more (its colour) or less (the teacher's) than a teacher's: (pos, pos) each."""
    stops = np.linspace(-1, 1, 17)
    scale = [
        ((float(stop) + 1) / 2, colours.tint("student" if stop > 0 else "teacher", abs(float(stop)) ** 0.6))
        for stop in stops
    ]
    figure = go.Figure(
        go.Heatmap(
            z=(100 * (student.astype(np.float32) - teacher)),
            zmin=-100,
            zmax=100,
            colorscale=scale,
            customdata=_looks(tokens),
            hovertemplate="%{customdata[0]} looks at %{customdata[1]}: %{z:+.0f} points<extra></extra>",
            colorbar={**COLOURBAR, "tickvals": [-100, -50, 0, 50, 100]},
            xgap=1,
            ygap=1,
        )
    )
    return _token_axes(figure, tokens, colours, second)


def _looks(tokens: Sequence[str]) -> np.ndarray:
    """What is said of a cell: (pos, pos, 2) tokens, made harmless."""
    safe = [escape(token) for token in tokens]
    return np.array([[[source, target] for target in safe] for source in safe])


def _token_axes(figure: go.Figure, tokens: Sequence[str], colours: Theme, second: int | None) -> go.Figure:
    """A square of tokens by tokens, the second sentence's in a colour of its own and behind a line."""
    places = list(range(len(tokens)))  # not the tokens themselves: words come twice
    names = [escape(token) for token in tokens]
    if second is not None:
        names[second:] = [f'<span style="color:{colours.series[1]}">{name}</span>' for name in names[second:]]
        figure.add_hline(second - 0.5, line={"color": colours.series[1], "width": 1.5})
        figure.add_vline(second - 0.5, line={"color": colours.series[1], "width": 1.5})
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False}
    figure.update_xaxes(**ticks, side="top", tickangle=-60, constrain="domain")
    figure.update_yaxes(**ticks, autorange="reversed", scaleanchor="x", constrain="domain", constraintoward="top")
    return layout(figure, colours, 460, dragmode=False)


def band(
    figure: go.Figure, x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str, opacity: float = 0.15
) -> None:
    """What lies between `low` and `high` (point,) over `x`, as a surface that says nothing by itself."""
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        y=np.concatenate([high, low[::-1]]),
        fill="toself",
        fillcolor=faded(colour, opacity),
        mode="lines",
        line={"width": 0},
        hoverinfo="skip",
        showlegend=False,
    )


def escape(text: str) -> str:
    """`text` with nothing that plotly would take for markup."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _scale(role: str, colours: Theme) -> list[tuple[float, str]]:
    """From empty paper to the role's colour; a root, because most attention is faint."""
    stops = np.linspace(0, 1, 9)
    return [(float(stop), colours.tint(role, float(stop) ** 0.6)) for stop in stops]
