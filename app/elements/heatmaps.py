"""Tables of numbers as heatmaps, small ones with their numbers written in. Never imports streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from app.elements.plotly_base import COLOUR_BAR, apply_layout, escape_label
from app.elements.text import format_number
from app.elements.theme import Theme, colour_scale, diverging_scale, mix, readable_on

MOST_LABELLED = 9  # columns and rows at most, for numbers to be written into the cells and names in full
BLOCK_GAP = 0.5  # of a cell, between blocks


def heatmap(
    values: np.ndarray,
    rows: Sequence[str],
    columns: Sequence[str],
    titles: tuple[str, str],
    colour: str,
    colours: Theme,
    *,
    hover: str,
    limits: tuple[float, float] = (0.0, 1.0),
    number_format: str = ".2f",
    unit: str = "",
    height: int = 0,
) -> go.Figure:
    """`values` (row, column) on one scale of `limits`; below zero where these are: two-sided.

    `titles`: of the rows and of the columns. `hover`: what stands before a value, with %{y} and %{x}. `number_format`:
    how a number is written into its cell. What is not a number stays empty.
    """
    low, high = limits
    stops = diverging_scale(colours.series[1], colour, colours) if low < 0 else colour_scale(colour, colours)
    figure = go.Figure(
        go.Heatmap(
            z=np.asarray(values, np.float32),
            x=list(range(len(columns))),
            y=list(range(len(rows))),
            customdata=np.array([[[r, c] for c in columns] for r in rows]) if values.size else None,
            zmin=low,
            zmax=high,
            colorscale=stops,
            xgap=1,
            ygap=1,
            hoverongaps=False,
            hovertemplate=hover.replace("%{y}", "%{customdata[0]}").replace("%{x}", "%{customdata[1]}")
            + f": %{{z:{number_format}}}{unit}<extra></extra>",
            colorbar={**COLOUR_BAR, "len": 140, "tickformat": "~g", "ticksuffix": unit},
        )
    )
    if max(len(rows), len(columns)) <= MOST_LABELLED:
        for (row, column), value in np.ndenumerate(np.asarray(values, np.float64)):
            if np.isfinite(value):
                shade = _colour_at(stops, (value - low) / (high - low) if high > low else 0.0)
                figure.add_annotation(
                    x=column,
                    y=row,
                    text=format_number(value, number_format) + unit,
                    showarrow=False,
                    font={"color": readable_on(shade), "size": 12 if len(columns) <= 8 else 10},
                )
    figure.update_xaxes(
        tickvals=list(range(len(columns))),
        ticktext=[escape_label(_short_name(name, columns)) for name in columns],
        title=titles[1],
        side="top",
    )
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[escape_label(name) for name in rows],
        title=titles[0],
        autorange="reversed",
    )
    figure.update_xaxes(showgrid=False, zeroline=False)
    figure.update_yaxes(showgrid=False, zeroline=False)
    return apply_layout(figure, colours, height or min(640, 110 + 34 * len(rows)), dragmode=False)


def head_blocks(tables: Mapping[str, np.ndarray], colour: str, colours: Theme, hover: str) -> go.Figure:
    """Tables (layer, head) of shares 0-1, side by side on one scale, each under its name.

    `hover`: what stands before a value, with %{customdata[0]} the block, [1] the layer and [2] the head.
    """
    names = list(tables)
    layers, heads = tables[names[0]].shape
    block_width = heads + BLOCK_GAP
    figure = go.Figure()
    for number, name in enumerate(names):
        label = escape_label(name)
        figure.add_heatmap(
            z=np.asarray(tables[name], np.float32),
            x=number * block_width + np.arange(heads),
            y=np.arange(1, layers + 1),
            customdata=np.array([[[label, i + 1, h + 1] for h in range(heads)] for i in range(layers)], dtype=object),
            zmin=0,
            zmax=1,
            colorscale=colour_scale(colour, colours, 0.7),
            xgap=1,
            ygap=1,
            hoverongaps=False,
            hovertemplate=hover + ": %{z:.1%}<extra></extra>",
            showscale=False,
        )
        figure.add_annotation(
            x=number * block_width + (heads - 1) / 2, y=1, yref="paper", yanchor="bottom", yshift=18, text=label,
            showarrow=False, font={"size": 11},
        )  # fmt: skip
    ticks = [number * block_width + head for number in range(len(names)) for head in range(heads)]
    few_heads = heads <= 6
    figure.update_xaxes(
        tickvals=ticks
        if few_heads
        else [number * block_width + head for number in range(len(names)) for head in (0, heads - 1)],
        ticktext=[str(head + 1) for _ in names for head in (range(heads) if few_heads else (0, heads - 1))],
        side="top",
        showgrid=False,
        zeroline=False,
        tickfont={"size": 10},
        tickangle=0,
    )
    figure.update_yaxes(title="layer", autorange="reversed", dtick=1, showgrid=False, zeroline=False)
    apply_layout(figure, colours, min(580, 130 + 30 * layers), dragmode=False)
    return figure.update_layout(margin={"t": 76})  # the names stand below the camera


def common_limits(*tables: np.ndarray) -> tuple[float, float]:
    """One scale for all `tables`: from 0, or from as far below it as above, to the largest value."""
    largest = max((float(np.nanmax(np.abs(table))) for table in tables if np.isfinite(table).any()), default=1.0) or 1.0
    least = min((float(np.nanmin(table)) for table in tables if np.isfinite(table).any()), default=0.0)
    return (-largest if least < 0 else 0.0, largest)


def _short_name(name: str, names: Sequence[str]) -> str:
    """A column's name, or where there are many its last word: the number."""
    return name if len(names) <= MOST_LABELLED else name.rpartition(" ")[2]


def _colour_at(stops: Sequence[tuple[float, str]], share: float) -> str:
    """The colour of a scale at `share` 0-1 of its way."""
    share = min(1.0, max(0.0, share))
    for (before, one), (after, other) in zip(stops, stops[1:], strict=False):
        if share <= after:
            return mix(one, other, (share - before) / (after - before))
    return stops[-1][1]
