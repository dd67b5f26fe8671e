"""Measures per layer as lines, and the best heads for relations as bars beside their nulls. Never imports streamlit."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import plotly.graph_objects as go

from app.elements.plotly_base import SYMBOLS, add_band, apply_layout, escape_label
from app.elements.theme import Theme
from app.examine.labels import plus_minus
from engine.inspection.head_roles import BestHead


def line_colours(names: list[str], colours: Theme) -> dict[str, str]:
    """Teacher and student keep their colours; the others get one each, as long as there are any."""
    found, spare = {}, 0
    for name in names:
        if name in ("Teacher", "Student"):
            found[name] = colours.role(name)
        else:
            found[name] = colours.series[spare % len(colours.series)]
            spare += 1
    return found


def layer_lines(
    steps: Mapping[str, np.ndarray],
    title: str,
    colours: Theme,
    *,
    unit: str = "",
    relative: bool = False,
    dashed: frozenset[str] = frozenset(),
) -> go.Figure:
    """A measure per layer, one line a model: name -> (layer, token). Mean over tokens, one deviation as a band.

    `relative`: layers as a share of the model's depth, so that models of different depth lie over one another.
    `dashed`: models whose layers share weights.
    """
    figure, of = go.Figure(), line_colours(list(steps), colours)
    for place, (name, values) in enumerate(steps.items()):
        number = np.arange(1, len(values) + 1)
        x = number / len(values) if relative else number
        mean, spread = values.mean(1), values.std(1)
        add_band(figure, x, mean - spread, mean + spread, of[name])
        figure.add_scatter(
            x=x,
            y=mean,
            name=escape_label(name),
            mode="lines+markers",
            line={"color": of[name], "width": 2.5, "dash": "dash" if name in dashed else "solid"},
            marker={"size": 8, "symbol": SYMBOLS[place % len(SYMBOLS)]},
            customdata=np.stack([number, spread], 1),
            hovertemplate=f"{escape_label(name)}, layer %{{customdata[0]}}: %{{y:.3g}}{unit} ± %{{customdata[1]:.2g}}"
            "<extra></extra>",
        )
    if relative:
        figure.update_xaxes(title="depth: layer / layers of the model", tickformat=".0%", range=[0, 1.04])
    else:
        figure.update_xaxes(title="layer", tickmode="linear", tick0=1, dtick=1 if _deepest(steps) <= 12 else 3)
    figure.update_yaxes(title=title, ticksuffix=unit, rangemode="tozero")
    return apply_layout(figure, colours, 330, dragmode=False)


def _deepest(steps: Mapping[str, np.ndarray]) -> int:
    return max((len(values) for values in steps.values()), default=0)


def best_head_bars(best: Mapping[str, Mapping[str, BestHead]], colours: Theme) -> go.Figure:
    """role -> relation -> its best head: bars with 95% intervals, in percent, and what two nulls would reach."""
    figure = go.Figure()
    for role, heads in best.items():
        figure.add_bar(
            name=escape_label(role),
            x=list(heads),
            y=[100 * head.value for head in heads.values()],
            error_y={
                "type": "data",
                "array": [None if head.interval is None else 100 * head.interval for head in heads.values()],
                "color": colours.ink,
                "thickness": 1.5,
            },
            marker={"color": colours.role(role)},
            customdata=[[head.layer + 1, head.head + 1, plus_minus(head.interval)] for head in heads.values()],
            hovertemplate=f"{escape_label(role)}, layer %{{customdata[0]}}, head %{{customdata[1]}}: %{{y:.1f}}%"
            "%{customdata[2]}<extra></extra>",
        )
    first = next(iter(best.values()))
    nulls = {
        "at a fixed distance": ([100 * head.at_offset for head in first.values()], "diamond-open"),
        "evenly over the words": ([100 * head.uniform for head in first.values()], "line-ew-open"),
    }
    for name, (values, symbol) in nulls.items():
        figure.add_scatter(
            x=list(first),
            y=values,
            mode="markers",
            name=name,
            marker={"symbol": symbol, "size": 14, "color": colours.ink, "line": {"width": 2, "color": colours.ink}},
            hovertemplate=f"{name}: %{{y:.1f}}%<extra></extra>",
        )
    figure.update_yaxes(title="attention on the right word, %", range=[0, 104])
    return apply_layout(figure, colours, 340, barmode="group", bargap=0.3, dragmode=False)
