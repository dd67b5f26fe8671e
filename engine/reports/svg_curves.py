"""Curves as SVG, in the colours of a document. Pure text; knows no model."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from engine.reports.html_page import escape

WIDTH, HEIGHT = 520, 300  # of the drawing, in its own units
LEFT, RIGHT, TOP, BOTTOM = 62, 16, 34, 46
MOST_POINTS = 400  # of a curve; more cannot be seen
Points = Sequence[tuple[float, float]]


def line_chart(
    curves: Mapping[str, Points], title: str, x_label: str, y_label: str, levels: Mapping[str, float] | None = None
) -> str:
    """A figure of `curves` (name -> points), and of `levels` (name -> value) as dashed lines across.

    A curve whose name begins with teacher or student has that colour. Points that are no numbers are left out.
    """
    drawn = {name: _thinned([(x, y) for x, y in points if _finite(x, y)]) for name, points in curves.items()}
    drawn = {name: points for name, points in drawn.items() if points}
    levels = {name: value for name, value in (levels or {}).items() if math.isfinite(value)}
    if not drawn:
        return ""
    xs = [x for points in drawn.values() for x, _ in points]
    ys = [y for points in drawn.values() for _, y in points] + list(levels.values())
    across, up = ticks(min(xs), max(xs)), ticks(min(ys), max(ys))

    def place(x: float, y: float) -> tuple[float, float]:
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * (x - across[0]) / (across[-1] - across[0]),
            HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (y - up[0]) / (up[-1] - up[0]),
        )

    parts = [
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{escape(f"{title}: {y_label} over {x_label}")}">'
    ]
    for y in up:
        _, at = place(across[0], y)
        parts.append(f'<path d="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="var(--grid)"/>')
        parts.append(f'<text x="{LEFT - 8}" y="{at + 4:.1f}" text-anchor="end">{axis_number(y)}</text>')
    for x in across:
        at, _ = place(x, up[0])
        parts.append(f'<text x="{at:.1f}" y="{HEIGHT - BOTTOM + 20}" text-anchor="middle">{axis_number(x)}</text>')
    parts.append(f'<text x="{WIDTH - RIGHT}" y="{HEIGHT - 6}" text-anchor="end">{escape(x_label)}</text>')
    parts.append(f'<text x="4" y="14">{escape(y_label)}</text>')
    colours = _colours([*drawn, *levels])
    for name, value in levels.items():
        _, at = place(across[0], value)
        line = f'd="M{LEFT} {at:.1f}H{WIDTH - RIGHT}" stroke="{colours[name]}" stroke-width="2" stroke-dasharray="5 4"'
        parts.append(f"<path {line}><title>{escape(name)}: {axis_number(value)}</title></path>")
    for name, points in drawn.items():
        path = "L".join(f"{x:.1f} {y:.1f}" for x, y in (place(*point) for point in points))
        parts.append(f'<path d="M{path}" fill="none" stroke="{colours[name]}" stroke-width="2.2"/>')
        for x, y in points if len(points) <= 32 else ():
            at, high = place(x, y)
            say = f"<title>{escape(name)}, {axis_number(x)}: {axis_number(y)}</title>"
            parts.append(f'<circle cx="{at:.1f}" cy="{high:.1f}" r="3.2" fill="{colours[name]}">{say}</circle>')
    parts.append("</svg>")
    legend = " &nbsp; ".join(
        f'<span style="color:{colours[name]}">{"╌" if name in levels else "●"}</span> {escape(name)}'
        for name in colours
    )
    return f"<figure><strong>{escape(title)}</strong>{''.join(parts)}<figcaption>{legend}</figcaption></figure>"


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Round numbers, evenly apart, that enclose `low` to `high`: some `about` of them, at least two."""
    if not high > low:
        low, high = low - (abs(low) / 2 or 0.5), high + (abs(high) / 2 or 0.5)
    rough = (high - low) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 2.5, 5, 10) if power * times >= rough * 0.999)
    first, last = math.floor(low / step + 1e-9), math.ceil(high / step - 1e-9)
    return [round(index * step, 12) for index in range(first, max(last, first + 1) + 1)]


def axis_number(value: float) -> str:
    """A number at an axis: thousands grouped, no more digits than it needs."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _finite(x: float, y: float) -> bool:
    return math.isfinite(x) and math.isfinite(y)


def _thinned(points: Points) -> list[tuple[float, float]]:
    """Every so-manieth point, the last one among them."""
    every = max(1, len(points) // MOST_POINTS)
    return [*points[:-1:every], *points[-1:]]


def _colours(names: Sequence[str]) -> dict[str, str]:
    others = iter(("var(--first)", "var(--second)", "var(--quiet)") * len(names))
    found = {}
    for name in names:
        role = next((role for role in ("teacher", "student") if name.lower().startswith(role)), "")
        found[name] = f"var(--{role})" if role else next(others)
    return found
