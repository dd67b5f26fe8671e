"""Attention as figures: every head of a model, one head large, and where two heads differ. Never imports streamlit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from app.elements.plotly_base import COLOUR_BAR, apply_layout, escape_label
from app.elements.theme import FAINT_ROOT, Theme, colour_scale, diverging_scale

GAP = 0.08  # of a head's width, between heads of a mosaic


def attention_mosaic(attentions: np.ndarray, role: str, colours: Theme) -> go.Figure:
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
            colorscale=colour_scale(colours.role(role), colours, FAINT_ROOT),
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
    return apply_layout(
        figure, colours, min(900, 90 + round(420 * layers / heads)), clickmode="event+select", dragmode=False
    )


def attention_heatmap(
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
            colorscale=colour_scale(colours.role(role), colours, FAINT_ROOT),
            customdata=_token_pairs(tokens),
            hovertemplate="%{customdata[0]} looks at %{customdata[1]}: %{z:.0%}<extra></extra>",
            colorbar={**COLOUR_BAR, "tickformat": ".0%"},
            xgap=1,
            ygap=1,
        )
    )
    return _token_axes(figure, tokens, colours, second)


def attention_difference(
    student: np.ndarray, teacher: np.ndarray, tokens: Sequence[str], colours: Theme, second: int | None = None
) -> go.Figure:
    """Where a student's head looks more (its colour) or less (the teacher's) than a teacher's: (pos, pos) each."""
    scale = diverging_scale(colours.teacher, colours.student, colours, FAINT_ROOT)
    figure = go.Figure(
        go.Heatmap(
            z=(100 * (student.astype(np.float32) - teacher)),
            zmin=-100,
            zmax=100,
            colorscale=scale,
            customdata=_token_pairs(tokens),
            hovertemplate="%{customdata[0]} looks at %{customdata[1]}: %{z:+.0f} points<extra></extra>",
            colorbar={**COLOUR_BAR, "tickvals": [-100, -50, 0, 50, 100]},
            xgap=1,
            ygap=1,
        )
    )
    return _token_axes(figure, tokens, colours, second)


def _token_pairs(tokens: Sequence[str]) -> np.ndarray:
    """What is said of a cell: (pos, pos, 2) tokens, made harmless."""
    safe = [escape_label(token) for token in tokens]
    return np.array([[[source, target] for target in safe] for source in safe])


def _token_axes(figure: go.Figure, tokens: Sequence[str], colours: Theme, second: int | None) -> go.Figure:
    """A square of tokens by tokens, the second sentence's in a colour of its own and behind a line."""
    places = list(range(len(tokens)))  # not the tokens themselves: words come twice
    names = [escape_label(token) for token in tokens]
    if second is not None:
        names[second:] = [f'<span style="color:{colours.series[1]}">{name}</span>' for name in names[second:]]
        figure.add_hline(second - 0.5, line={"color": colours.series[1], "width": 1.5})
        figure.add_vline(second - 0.5, line={"color": colours.series[1], "width": 1.5})
    ticks = {"tickvals": places, "ticktext": names, "showgrid": False, "zeroline": False}
    figure.update_xaxes(**ticks, side="top", tickangle=-60, constrain="domain")
    figure.update_yaxes(**ticks, autorange="reversed", scaleanchor="x", constrain="domain", constraintoward="top")
    return apply_layout(figure, colours, 460, dragmode=False)
