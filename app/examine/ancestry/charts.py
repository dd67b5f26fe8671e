"""Ancestry as figures: who flows into whom, and what goes with it. Never imports streamlit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from app.elements.plotly_base import COLOUR_BAR, apply_layout, escape_label
from app.elements.theme import Theme, colour_scale, with_opacity

FAINTEST = 5e-4  # a flow below this is not drawn: a hairline says more than it is


def ancestry_sankey(shares: np.ndarray, teacher: Sequence[str], student: Sequence[str], colours: Theme) -> go.Figure:
    """Heads of the teacher (left) flowing into those of the student (right): shares (student head, teacher head).

    A teacher head is as high as all that it gave. The chief ancestor's flow has the teacher's colour, what others gave
    is grey; shares below FAINTEST are left out.
    """
    students, teachers = shares.shape
    chief = shares.argmax(1)
    drawn = (shares >= FAINTEST) | (np.arange(teachers) == chief[:, None])
    target, source = np.nonzero(drawn)
    value = shares[target, source]
    figure = go.Figure(
        go.Sankey(
            arrangement="snap",
            node={
                "label": [escape_label(name) for name in [*teacher, *student]],
                "color": [colours.teacher] * teachers + [colours.student] * students,
                "x": [0.001] * teachers + [0.999] * students,
                "y": [*_box_middles(shares.sum(0)), *_box_middles(np.ones(students))],
                "pad": 16,
                "thickness": 16,
                "line": {"width": 0},
                "hovertemplate": "%{label}<extra></extra>",
            },
            link={
                "source": source,
                "target": target + teachers,
                "value": value,
                "color": [
                    with_opacity(colours.teacher, 0.45) if chief[t] == s else with_opacity(colours.series[3], 0.55)
                    for s, t in zip(source, target, strict=True)
                ],
                "customdata": [f"{100 * share:.2f}%" for share in value],
                "hovertemplate": "%{target.label}: %{customdata} of it from %{source.label}<extra></extra>",
            },
            textfont={"color": colours.ink, "size": 13, "shadow": "none"},
        )
    )
    return apply_layout(figure, colours, min(720, 120 + 52 * max(students, teachers)))


def _box_middles(sizes: np.ndarray) -> list[float]:
    """Middles of boxes of these sizes, one below the other, within 0 to 1."""
    sizes = np.maximum(sizes / sizes.sum(), 0.01)
    ends = np.cumsum(sizes) / sizes.sum()
    return [float(np.clip(end - size / sizes.sum() / 2, 0.001, 0.999)) for end, size in zip(ends, sizes, strict=True)]


def share_map(cells: np.ndarray, bins: tuple[int, int], unit: str, colours: Theme) -> go.Figure:
    """Shares (student, teacher) as a heatmap on a logarithmic scale, from 0.01% to all; `bins`: dims in a cell's sides.

    Most of what is mixed in is faint: on a straight scale only the chief ancestors would be seen.
    """
    rows_per_cell, columns_per_cell = bins
    low = -4.0
    logarithms = np.log10(np.maximum(cells, 10**low)).astype(np.float32)
    figure = go.Figure(
        go.Heatmap(
            z=logarithms,
            x=np.arange(cells.shape[1]) * columns_per_cell + 1,
            y=np.arange(cells.shape[0]) * rows_per_cell + 1,
            customdata=(100 * cells).astype(np.float32),
            zmin=low,
            zmax=0,
            colorscale=colour_scale(colours.student, colours),
            colorbar={
                **COLOUR_BAR,
                "len": 180,
                "tickvals": [-4, -3, -2, -1, 0],
                "ticktext": ["0.01%", "0.1%", "1%", "10%", "100%"],
            },
            hovertemplate=f"student's {unit} %{{y}}: %{{customdata:.3f}}% from the teacher's %{{x}}<extra></extra>",
        )
    )
    figure.update_xaxes(title=f"teacher's {unit}", showgrid=False, zeroline=False, side="top")
    figure.update_yaxes(title=f"student's {unit}", showgrid=False, zeroline=False, autorange="reversed")
    return apply_layout(figure, colours, 460, dragmode=False)


def labelled_scatter(
    x: np.ndarray,
    y: np.ndarray,
    labels: Sequence[str],
    titles: tuple[str, str],
    colours: Theme,
    *,
    chief: np.ndarray | None = None,
    log: bool = False,
    formats: tuple[str, str] = (".2%", ".2f"),
) -> go.Figure:
    """Points (x, y) with `labels`; `chief` (n,) bool: those that are drawn full and in the student's colour."""
    figure = go.Figure()
    chief = np.ones(len(x), bool) if chief is None else chief
    groups = [(chief, colours.student, "circle", "chief ancestor"), (~chief, colours.series[3], "x-thin", "others")]
    for which, colour, symbol, name in groups:
        if not which.any():
            continue
        places = np.flatnonzero(which)
        figure.add_scatter(
            x=x[places],
            y=y[places],
            mode="markers",
            name=name,
            marker={"color": colour, "size": 10 if symbol == "circle" else 7, "symbol": symbol,
                    "line": {"color": colour, "width": 0 if symbol == "circle" else 1.5}},
            customdata=[escape_label(labels[int(place)]) for place in places],
            hovertemplate=f"%{{customdata}}<br>{escape_label(titles[0])}: %{{x:{formats[0]}}}"
            f"<br>{escape_label(titles[1])}: %{{y:{formats[1]}}}<extra></extra>",
            showlegend=not chief.all(),
        )  # fmt: skip
    figure.update_xaxes(title=titles[0], type="log" if log else "linear", tickformat=formats[0] if not log else None)
    if log:
        figure.update_xaxes(tickvals=[1e-4, 1e-3, 1e-2, 1e-1, 1], ticktext=["0.01%", "0.1%", "1%", "10%", "100%"])
    figure.update_yaxes(title=titles[1], tickformat=formats[1])
    return apply_layout(figure, colours, 340, dragmode=False)
