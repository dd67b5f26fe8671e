"""Experiments as plotly figures: a scatter of cost and quality, dots with their intervals. Never imports streamlit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import plotly.graph_objects as go

from app.compare.points import OWN_RUNS, CostAxis, PlacedPoint
from app.elements.plotly_base import SYMBOLS, apply_layout, escape_label
from app.elements.theme import Theme

HEIGHT = 460  # pixels of the scatter
LABEL_HEIGHT = 17  # pixels of a label's line
LEFT_EDGE = 0.12  # up to this share of the axis
HALF_LABEL = 0.17  # of a label's width on a phone, as a share of the axis, with its distance from the point
LABEL_REACH = 0.3  # labels whose middles are nearer than this would be written over one another


@dataclass(frozen=True)
class Dot:
    """One dot of a dot plot."""

    row: str  # the line it stands on
    series: str
    value: float
    interval: float | None  # half of the 95% one


def cost_quality_scatter(points: Sequence[PlacedPoint], axis: CostAxis, title: str, colours: Theme) -> go.Figure:
    """Quality over cost: one colour and symbol a series, every point with its name and its interval."""
    figure = go.Figure()
    series = list(dict.fromkeys(point.series for point in points))
    for name in sorted(series, key=lambda name: name.lower() == "teacher"):  # drawn last, it lies above its copies
        members = [point for point in points if point.series == name]
        colour, symbol = _series_style(name, series, colours)
        widths = [point.interval or 0.0 for point in members]
        figure.add_scatter(
            x=[point.x for point in members],
            y=[point.y for point in members],
            name=escape_label(name),
            mode="markers",
            marker={"size": 12, "color": colour, "symbol": symbol, "line": {"width": 1, "color": colours.empty}},
            error_y={"type": "data", "array": widths, "visible": any(widths), "color": colour, "thickness": 1.5},
            customdata=[
                [
                    escape_label(point.label),
                    "one seed" if point.interval is None else f"± {point.interval:.1f}, {point.seeds} seeds",
                    escape_label(_wrapped(point.note)).replace("\n", "<br>"),
                ]
                for point in members
            ],
            hovertemplate=f"<b>%{{customdata[0]}}</b><br>%{{y:.1f}}% (%{{customdata[1]}})<br>%{{x:,.4~g}} "
            f"{escape_label(axis.unit)}<br>%{{customdata[2]}}<extra></extra>",
            showlegend=len(series) > 1,
            legendrank=series.index(name),
        )
    _add_labels(figure, points, colours)
    figure.update_xaxes(title=axis.unit, rangemode="tozero", tickformat=",~g")
    figure.update_yaxes(title=f"{title}, %", ticksuffix="")
    apply_layout(figure, colours, HEIGHT)
    return figure.update_layout(hovermode="closest", legend={"y": -0.2, "yanchor": "top"}, margin={"t": 20, "r": 16})


def dot_plot(
    dots: Sequence[Dot], unit: str, colours: Theme, *, zero: str = "", nulls: Mapping[str, float] | None = None
) -> go.Figure:
    """A line of dots for each row, a colour and symbol a series, with intervals.

    `zero`: what stands at 0, when values are differences. `nulls`: row -> what one gets without having learned, as a
    short bar.
    """
    figure, rows = go.Figure(), list(dict.fromkeys(dot.row for dot in dots))
    series = list(dict.fromkeys(dot.series for dot in dots))
    place = {row: len(rows) - 1 - index for index, row in enumerate(rows)}
    for index, name in enumerate(series):
        members = [dot for dot in dots if dot.series == name]
        colour, symbol = _series_style(name, series, colours)
        offset = 0.22 * ((len(series) - 1) / 2 - index)
        widths = [dot.interval or 0.0 for dot in members]
        figure.add_scatter(
            x=[dot.value for dot in members],
            y=[place[dot.row] + offset for dot in members],
            name=escape_label(name),
            mode="markers",
            marker={"size": 11, "color": colour, "symbol": symbol, "line": {"width": 1, "color": colours.empty}},
            error_x={"type": "data", "array": widths, "visible": any(widths), "color": colour, "thickness": 1.5},
            customdata=[
                [escape_label(dot.row), "" if dot.interval is None else f" ± {dot.interval:.1f}"] for dot in members
            ],
            hovertemplate=f"<b>%{{customdata[0]}}</b>, {escape_label(name)}<br>%{{x:.1f}}%{{customdata[1]}} "
            f"{escape_label(unit)}<extra></extra>",
            showlegend=len(series) > 1 or bool(name and len(series) == 1 and nulls),
        )
    known_nulls = {row: value for row, value in (nulls or {}).items() if row in place}
    if known_nulls:
        figure.add_scatter(
            x=list(known_nulls.values()),
            y=[place[row] for row in known_nulls],
            name="null",
            mode="markers",
            marker={"symbol": "line-ns", "size": 26, "line": {"width": 2.5, "color": colours.quiet}},
            hovertemplate="null: %{x:.1f} " + escape_label(unit) + "<extra></extra>",
        )
    if zero:
        figure.add_vline(0, line={"color": colours.quiet, "width": 1.5, "dash": "dot"})
    under = f"<br>0 is the row “{escape_label(zero)}”" if zero else ""  # a line of its own: a phone has no room beside
    figure.update_xaxes(title=escape_label(unit) + under, zeroline=False)
    figure.update_yaxes(
        tickvals=list(place.values()),
        ticktext=[escape_label(row) for row in place],
        range=[-0.6, len(rows) - 0.4],
        showgrid=True,
        zeroline=False,
    )
    return apply_layout(figure, colours, 150 + 52 * len(rows))


def _series_style(name: str, series: Sequence[str], colours: Theme) -> tuple[str, str]:
    """(colour, symbol) of a series: the teacher's own, own runs in ink, the others in their order."""
    if name.lower() == "teacher":
        return colours.teacher, "circle"
    if name == OWN_RUNS:
        return colours.ink, "x"
    others = [other for other in series if other.lower() != "teacher" and other != OWN_RUNS]
    index = others.index(name)
    palette = (colours.student, colours.series[1], colours.series[0], colours.series[2], colours.teacher)
    return palette[index % len(palette)], SYMBOLS[(index + 1) % len(SYMBOLS)]


def _add_labels(figure: go.Figure, points: Sequence[PlacedPoint], colours: Theme) -> None:
    """The points' names beside them, pushed up and down until none covers another."""
    if not points:
        return
    largest = max(point.x for point in points) or 1.0
    bounds = [value for p in points for value in (p.y - (p.interval or 0.0), p.y + (p.interval or 0.0))]
    pixel = (max(bounds) - min(bounds) or 1.0) / (HEIGHT - 150)  # percent a pixel
    for point in points:  # at the left edge the name goes below its point: beside it stand the others
        if point.x > LEFT_EDGE * largest:
            continue
        below = 16 + (point.interval or 0.0) / pixel
        figure.add_annotation(
            x=point.x,
            y=point.y,
            text=escape_label(point.label),
            ax=0,
            ay=below,
            xanchor="left",
            arrowcolor="rgba(0,0,0,0)",
            font={"size": 12, "color": colours.ink},
        )
    crowd = sorted((point for point in points if point.x > LEFT_EDGE * largest), key=lambda p: -p.y)
    left = [point.x > 0.6 * largest for point in crowd]  # of the point; elsewhere the name would leave the picture
    middles = [
        point.x / largest + (-HALF_LABEL if to_the_left else HALF_LABEL)
        for point, to_the_left in zip(crowd, left, strict=True)
    ]
    heights = _spread_labels([-point.y / pixel for point in crowd], middles)
    for point, to_the_left, pixels in zip(crowd, left, heights, strict=True):
        shift = pixels + point.y / pixel
        figure.add_annotation(
            x=point.x,
            y=point.y,
            text=escape_label(point.label),
            ax=-18 if to_the_left else 18,
            ay=shift,
            xanchor="right" if to_the_left else "left",
            showarrow=True,
            arrowhead=0,
            arrowwidth=1,
            arrowcolor=colours.quiet if abs(shift) > LABEL_HEIGHT / 2 else "rgba(0,0,0,0)",
            standoff=7,
            font={"size": 12, "color": colours.ink},
        )


def _spread_labels(wanted: list[float], across: list[float]) -> list[float]:
    """Label heights in pixels, downwards and in order, moved as little as keeps neighbours LABEL apart."""
    heights = list(wanted)
    for _ in range(60):
        moved = False
        for one in range(len(heights)):
            for other in range(one + 1, len(heights)):
                gap = heights[other] - heights[one]
                if abs(across[one] - across[other]) < LABEL_REACH and gap < LABEL_HEIGHT - 0.5:
                    push = (LABEL_HEIGHT - gap) / 2
                    heights[one], heights[other], moved = heights[one] - push, heights[other] + push, True
        if not moved:
            break
    return heights


def _wrapped(text: str, width: int = 60) -> str:
    """`text` in lines of about `width` signs, for a hover box."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + len(word) >= width:
            lines.append(line)
            line = ""
        line = f"{line} {word}".strip()
    return "\n".join([*lines, line])
