"""The size page's charts: data in, plotly figure out. Never imports streamlit."""

from __future__ import annotations

from collections.abc import Sequence

import plotly.graph_objects as go

from app.elements.bars import part_label, part_shade
from app.elements.plotly_base import apply_layout, escape_label
from app.elements.theme import Theme, readable_on
from engine.sizing.cost import parameters
from engine.sizing.published_tables import PublishedTable
from engine.sizing.shape import Shape
from engine.sizing.solver import Solution
from engine.sizing.sweep import Sweep
from engine.sizing.tensors import PARTS, TensorKind

# where the names of four points stand, from the smallest model to the largest, so that they do not cover one another
LABEL_POSITIONS = (
    ["bottom center", "middle left", "top left", "top center"],
    ["bottom center", "top center", "top center", "bottom right"],
)


def tensor_treemap(entries: Sequence[TensorKind], colour: str, colours: Theme) -> go.Figure:
    """A treemap of tensors within their parts; areas are parameters kept."""
    kept = [entry for entry in entries if entry.parameters]
    parts = [part for part in PARTS if any(entry.part == part for entry in kept)]
    sums = {part: sum(entry.parameters for entry in kept if entry.part == part) for part in parts}
    total = max(1, sum(sums.values()))
    shades = {part: part_shade(colour, PARTS.index(part), colours) for part in parts}
    fills = [shades[part] for part in parts] + [shades[entry.part] for entry in kept]
    figure = go.Figure(
        go.Treemap(
            ids=[*parts, *(entry.name for entry in kept)],
            labels=[*map(part_label, parts), *(entry.name for entry in kept)],
            parents=[""] * len(parts) + [entry.part for entry in kept],
            values=[float(sums[part]) for part in parts] + [float(entry.parameters) for entry in kept],
            branchvalues="total",
            customdata=[
                *([f"{sums[part]:,}", f"{sums[part] / total:.1%}"] for part in parts),
                *([f"{entry.parameters:,}", f"{entry.parameters / total:.1%}"] for entry in kept),
            ],
            texttemplate="%{label}<br>%{customdata[0]}",
            hovertemplate="%{label}<br>%{customdata[0]} parameters, %{customdata[1]}<extra></extra>",
            marker={
                "colors": fills,
                "line": {"color": colours.empty, "width": 1},
                "pad": {"t": 20, "l": 2, "r": 2, "b": 2},
            },
            textfont={"color": [readable_on(fill) for fill in fills]},
            tiling={"pad": 1},
            pathbar={"visible": True, "thickness": 22},
            root={"color": "rgba(0,0,0,0)"},
        )
    )
    return apply_layout(figure, colours, 420)


def frontier_chart(
    frontier: Sequence[Solution], found: Sequence[Solution], current: Shape, colour: str, colours: Theme
) -> go.Figure:
    """Width over depth: the widest shape within the budget, the shapes that were found, and the shape of now."""
    figure = go.Figure()
    figure.add_scatter(
        x=[candidate.shape.layers for candidate in frontier],
        y=[candidate.shape.hidden for candidate in frontier],
        mode="lines+markers",
        name="widest within the budget",
        line={"color": colour, "width": 2.5, "shape": "hv"},
        marker={"size": 6},
        hovertemplate="%{x} layers: up to %{y:,} wide<extra></extra>",
    )
    figure.add_scatter(
        x=[candidate.shape.layers for candidate in found],
        y=[candidate.shape.hidden for candidate in found],
        mode="markers",
        name="listed above",
        marker={"size": 12, "symbol": "circle-open", "color": colours.ink, "line": {"width": 2}},
        hovertemplate="%{x} × %{y:,}<extra>listed above</extra>",
    )
    figure.add_scatter(
        x=[current.layers],
        y=[current.hidden],
        mode="markers",
        name="now",
        marker={"size": 12, "symbol": "x", "color": colours.quiet},
        hovertemplate="%{x} × %{y:,}<extra>now</extra>",
    )
    figure.update_xaxes(title="layers", dtick=2)
    figure.update_yaxes(title="width", rangemode="tozero", tickformat=",")
    return apply_layout(figure, colours, 340)


def sweep_chart(curve: Sweep, title: str, colour: str, colours: Theme) -> go.Figure:
    """Parameters over one control: a line over numbers, bars over words and switches. Marks now and the crossing."""
    figure = go.Figure()
    words = [
        {True: "yes", False: "no"}.get(value, value) if isinstance(value, bool) else value for value in curve.values
    ]
    if all(isinstance(value, int) and not isinstance(value, bool) for value in curve.values):
        # floats, because a browser's own integers end where a slip of the keyboard begins
        figure.add_scatter(
            x=list(words),
            y=[float(count) for count in curve.counts],
            mode="lines+markers" if len(words) <= 12 else "lines",
            name="parameters",
            line={"color": colour, "width": 2.5},
            hovertemplate=f"{title} %{{x:,}}: %{{y:,}} parameters<extra></extra>",
            showlegend=False,
        )
        now = curve.values.index(curve.now)
        figure.add_scatter(
            x=[curve.now],
            y=[float(curve.counts[now])],
            mode="markers",
            name="now",
            marker={"size": 13, "color": colour, "line": {"color": colours.ink, "width": 1.5}},
            hovertemplate="now, %{x:,}: %{y:,}<extra></extra>",
        )
        figure.update_xaxes(tickformat=",")
    else:
        fills = [colour if value == curve.now else colours.paler(colour) for value in curve.values]
        figure.add_bar(
            x=[str(word) for word in words],
            y=[float(count) for count in curve.counts],
            marker={"color": fills},
            text=[f"{count:,}" for count in curve.counts],
            hovertemplate="%{x}: %{text} parameters<extra></extra>",
            showlegend=False,
        )
    if curve.whole is not None:
        figure.add_hline(
            y=float(curve.whole),
            line={"color": colours.quiet, "width": 1.5, "dash": "dot"},
            annotation={"text": "not factorised", "font": {"color": colours.quiet}},
            annotation_position="bottom right",
        )
    if curve.crossing:
        figure.add_vline(
            x=curve.crossing,
            line={"color": colours.quiet, "width": 1.5, "dash": "dot"},
            annotation={"text": f"E = {curve.crossing:,}", "font": {"color": colours.quiet}},
            annotation_position="top left",
        )
    figure.update_xaxes(title=title)
    figure.update_yaxes(title="parameters", rangemode="tozero")
    return apply_layout(figure, colours, 360)


def paper_chart(paper: PublishedTable, own_models: Sequence[tuple[str, int, str]], colours: Theme) -> go.Figure:
    """A paper's points, score over exact parameters, and a line at the size of each own (name, count, colour)."""
    figure = go.Figure()
    series = list(dict.fromkeys(point.series for point in paper.rows))
    for index, name in enumerate(series):
        points = sorted((p for p in paper.rows if p.series == name), key=lambda p: parameters(p.shape))
        ink = (colours.ink, colours.quiet)[index % 2]
        figure.add_scatter(
            x=[parameters(point.shape) / 1e6 for point in points],
            y=[point.score for point in points],
            mode="lines+markers+text",
            name=f"{name} (paper)",
            text=[point.label for point in points],
            textposition=LABEL_POSITIONS[index % 2],
            textfont={"color": ink, "size": 12},
            line={"color": ink, "width": 1.5, "dash": "solid" if not index else "dash"},
            marker={"size": 9, "symbol": "circle" if not index else "diamond"},
            customdata=[[point.printed_parameters] for point in points],
            hovertemplate=f"{name}, %{{text}}: %{{y}} in the paper<br>%{{x:.2f}}M exact, paper says %{{customdata[0]}}"
            "<extra></extra>",
        )
    scores = [point.score for point in paper.rows]
    low, high = min(scores) - 0.7, max(scores) + 0.9
    for name, count, colour in own_models:
        figure.add_scatter(
            x=[count / 1e6] * 2,
            y=[low, high],
            mode="lines",
            name=f"{escape_label(name)}, size only",
            line={"color": colour, "width": 2.5},
            hovertemplate=f"{escape_label(name)}: {count / 1e6:,.2f}M parameters, no score<extra></extra>",
        )
    marks = [
        digit * 10**power for power in range(-3, 7) for digit in (1, 2, 5)
    ]  # whole numbers, not plotly's bare digits
    figure.update_xaxes(title="parameters, millions", type="log", tickvals=marks, ticktext=[f"{m:,g}" for m in marks])
    figure.update_yaxes(title="score in the paper", range=[low, high])
    return apply_layout(figure, colours, 380)
