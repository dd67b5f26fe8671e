"""The best heads for relations beside their nulls, as a figure. Never imports streamlit."""

from __future__ import annotations

from collections.abc import Mapping

import plotly.graph_objects as go

from app.charts import escape, layout
from app.theme import Theme
from engine.head_roles import BestHead


def best_bars(best: Mapping[str, Mapping[str, BestHead]], colours: Theme) -> go.Figure:
    """role -> relation -> its best head: bars with 95% intervals, in percent, and what two nulls would reach."""
    figure = go.Figure()
    for role, heads in best.items():
        figure.add_bar(
            name=escape(role),
            x=list(heads),
            y=[100 * head.value for head in heads.values()],
            error_y={
                "type": "data",
                "array": [100 * head.interval for head in heads.values()],
                "color": colours.ink,
                "thickness": 1.5,
            },
            marker={"color": colours.role(role)},
            customdata=[[head.layer + 1, head.head + 1, 100 * head.interval] for head in heads.values()],
            hovertemplate=f"{escape(role)}, layer %{{customdata[0]}}, head %{{customdata[1]}}: %{{y:.1f}}% ± "
            "%{customdata[2]:.1f}<extra></extra>",
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
    return layout(figure, colours, 340, barmode="group", bargap=0.3, dragmode=False)
