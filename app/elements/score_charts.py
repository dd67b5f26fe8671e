"""Scores and counts as plotly figures. Never imports streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from app.elements.plotly_base import apply_layout, escape_label
from app.elements.theme import Theme


def histogram(names: Sequence[str], counts: np.ndarray, unit: str, counted: str, colours: Theme) -> go.Figure:
    """Counts (bin,) of `counted` per bin `names`, as columns."""
    figure = go.Figure(
        go.Bar(
            x=list(names),
            y=np.asarray(counts),
            marker={"color": colours.quiet},
            hovertemplate=f"%{{x}} {escape_label(unit)}: %{{y:,}} {escape_label(counted)}<extra></extra>",
        )
    )
    figure.update_xaxes(title=unit, showgrid=False)
    figure.update_yaxes(title=counted)
    return apply_layout(figure, colours, 280, bargap=0.1)


def score_bars(
    scores: Mapping[str, Mapping[str, tuple[float, float | None]]],
    unit: str,
    colours: Theme,
    title: str = "score",
    reference: tuple[str, Mapping[str, float]] = ("", {}),
) -> go.Figure:
    """model -> task -> (score, half its 95% interval or None), as columns with their intervals; one scale.

    `reference`: a name, and the value that columns of each task are to be held against, as a line across them.
    """
    figure = go.Figure()
    for name, tasks in scores.items():
        widths = [width or 0.0 for _, width in tasks.values()]
        figure.add_bar(
            name=escape_label(name),
            x=[escape_label(task) for task in tasks],
            y=[value for value, _ in tasks.values()],
            error_y={"type": "data", "array": widths, "visible": any(widths), "color": colours.ink, "thickness": 1.5},
            marker={"color": colours.role(name)},
            customdata=widths,
            hovertemplate=f"{escape_label(name)}, %{{x}}: %{{y:.1f}}{unit} ± %{{customdata:.1f}}<extra></extra>",
        )
    name, values = reference
    if values:
        figure.add_scatter(
            name=escape_label(name),
            x=[escape_label(task) for task in values],
            y=list(values.values()),
            mode="markers",
            marker={"symbol": "line-ew-open", "size": 44, "color": colours.ink, "line": {"width": 2.5}},
            hovertemplate=f"{escape_label(name)}, %{{x}}: %{{y:.1f}}{unit}<extra></extra>",
        )
    figure.update_xaxes(showgrid=False)  # categories need no lines
    figure.update_yaxes(title=f"{title}, {unit}" if unit else title, rangemode="tozero")
    most = max((len(tasks) for tasks in scores.values()), default=1)
    return apply_layout(figure, colours, 320, barmode="group", bargap=0.3 if most > 2 else 0.7)
