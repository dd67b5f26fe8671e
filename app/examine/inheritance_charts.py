"""The inheritance score, drawn: with its nulls, layer by layer, head by head, and over training. No streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from app.elements.plotly_base import COLOUR_BAR, add_band, apply_layout, escape_label
from app.elements.theme import Theme, colour_scale
from app.examine.labels import interval_text

if TYPE_CHECKING:
    from engine.inheritance.curve import InheritanceCurve
    from engine.inheritance.score import ScoreInterval

LEFT_END = -0.25  # the left end of a score's axis, unless something lies further away
CURVE_SYMBOLS = ("diamond", "circle", "square", "triangle-up", "x", "star")


def score_dots(figures: Mapping[str, ScoreInterval], colours: Theme, highlighted: str) -> go.Figure:
    """Scores with their 95% intervals on one axis, a row each. `highlighted`: the one that matters; empty: all."""
    names, values = list(figures), list(figures.values())
    tints = [colours.student if highlighted in (name, "") else colours.quiet for name in names]
    figure = go.Figure(
        go.Scatter(
            x=[value.score for value in values],
            y=[escape_label(name) for name in names],
            mode="markers",
            marker={"size": 11, "symbol": "diamond", "color": tints},
            error_x={
                "type": "data",
                "symmetric": False,
                "array": [max(0.0, value.high - value.score) for value in values],
                "arrayminus": [max(0.0, value.score - value.low) for value in values],
                "color": colours.quiet,
                "thickness": 1.5,
                "width": 5,
            },
            customdata=[[interval_text(value.low, value.high, 3), value.distance, value.null] for value in values],
            hovertemplate="%{y}: %{x:.3f}, 95% interval %{customdata[0]}<br>distance "
            "%{customdata[1]:.4f}, a random student's %{customdata[2]:.4f}<extra></extra>",
            showlegend=False,
        )
    )
    for place, words in ((0, "random"), (1, "identical")):
        figure.add_vline(place, line={"color": colours.quiet, "width": 1, "dash": "dot"})
        figure.add_annotation(x=place, y=1, yref="paper", yanchor="bottom", text=words, showarrow=False,
                              font={"color": colours.quiet, "size": 12})  # fmt: skip
    low = min([LEFT_END, *(value.low - 0.05 for value in values)])
    figure.update_xaxes(range=[low, 1.05], title="inheritance score", zeroline=False)
    figure.update_yaxes(autorange="reversed", showgrid=False)
    return apply_layout(figure, colours, 110 + 34 * len(names), dragmode=False).update_layout(margin={"t": 46, "r": 36})


def score_matrix(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    colours: Theme,
    pairs: Sequence[tuple[int, int]] = (),
    edges: tuple[Sequence[int], Sequence[int]] = ((), ()),
) -> go.Figure:
    """Scores (student, teacher) as a heatmap; what is paired has a ring. Below 0 is drawn as 0.

    `rows`, `columns`: what the student's and the teacher's are called. `edges`: before which rows and columns a layer
    begins.
    """
    names = np.array([[[escape_label(row), escape_label(column)] for column in columns] for row in rows])
    figure = go.Figure(
        go.Heatmap(
            z=values.astype(np.float32),
            zmin=0,
            zmax=1,
            colorscale=colour_scale(colours.student, colours),
            customdata=names,
            hovertemplate="student's %{customdata[0]}<br>teacher's %{customdata[1]}<br>score %{z:.3f}<extra></extra>",
            colorbar=COLOUR_BAR,
        )
    )
    if len(pairs):
        size = max(4, min(16, round(220 / max(values.shape))))
        figure.add_scatter(
            x=[column for _, column in pairs],
            y=[row for row, _ in pairs],
            mode="markers",
            marker={"symbol": "circle-open", "size": size, "color": colours.ink, "line": {"width": 1.5}},
            hoverinfo="skip",
            showlegend=False,
        )
    for edge in edges[0]:
        figure.add_hline(edge - 0.5, line={"color": colours.grid, "width": 1})
    for edge in edges[1]:
        figure.add_vline(edge - 0.5, line={"color": colours.grid, "width": 1})
    figure.update_xaxes(**_ticks(columns), title="teacher", side="top", showgrid=False, zeroline=False)
    figure.update_yaxes(**_ticks(rows), title={"text": "student", "standoff": 12}, showgrid=False, zeroline=False)
    figure.update_xaxes(range=[-0.5, len(columns) - 0.5], constrain="domain")
    figure.update_yaxes(range=[len(rows) - 0.5, -0.5], scaleanchor="x", constrain="domain", constraintoward="top")
    return apply_layout(figure, colours, 420, dragmode=False)


def score_curves(
    curves: Sequence[InheritanceCurve], names: Sequence[str], pairing: str, axis: str, unit: str, colours: Theme
) -> go.Figure:
    """The scores of several runs over their training, intervals as bands; nulls of the first as dotted lines.

    `axis`: one of a curve's axes; runs that do not tell it are left out.
    """
    figure, lines = go.Figure(), (colours.student, *colours.series, colours.teacher)
    for index, (curve, name) in enumerate(zip(curves, names, strict=True)):
        colour = lines[index % len(lines)]
        points = [
            (x, score)
            for x, score in zip(curve.axes[axis], curve.scores[pairing], strict=True)
            if x is not None and score is not None
        ]
        if not points:
            continue
        x = np.array([place for place, _ in points])
        middle, low, high = (np.array([score[part] for _, score in points]) for part in ("score", "low", "high"))
        add_band(figure, x, low, high, colour)
        figure.add_scatter(
            x=x,
            y=middle,
            name=escape_label(name),
            mode="lines+markers",
            line={"color": colour, "width": 2.5},
            marker={"size": 8, "symbol": CURVE_SYMBOLS[index % len(CURVE_SYMBOLS)]},
            customdata=[interval_text(*ends, 3) for ends in zip(low, high, strict=True)],
            hovertemplate=f"{escape_label(name)}, %{{x:,.4~s}} {unit}: %{{y:.3f}} (%{{customdata}})<extra></extra>",
        )
    figure.add_hline(
        0,
        line={"color": colours.quiet, "width": 1.5, "dash": "dot"},
        annotation_text="random student",
        annotation_position="bottom right",
    )
    figure.add_hline(
        1, line={"color": colours.teacher, "width": 1.5, "dash": "dot"}, annotation_text="the teacher itself"
    )
    figure.update_annotations(font={"color": colours.quiet, "size": 12}, xanchor="right")
    figure.update_xaxes(title=unit, rangemode="tozero")
    figure.update_yaxes(title="inheritance score", range=[min(LEFT_END, _lowest_value(figure)), 1.08], zeroline=False)
    return apply_layout(figure, colours, 380)


def _lowest_value(figure: go.Figure) -> float:
    found = [float(np.min(trace.y)) for trace in figure.data if len(trace.y)]
    return min(found, default=0.0) - 0.05


def _ticks(names: Sequence[str]) -> dict[str, object]:
    """Names at every place, or at so many that they can be read."""
    step = max(1, -(-len(names) // 24))
    places = list(range(0, len(names), step))
    return {"tickvals": places, "ticktext": [escape_label(names[place]) for place in places]}
