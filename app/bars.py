"""Parameters by part as stacked bars in plain HTML: drawn at once, long before a chart library has loaded."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

from app.theme import Theme, on

SHADES = (1.0, 0.82, 0.64, 0.46, 0.34, 0.24)  # the parts of one model: one hue, from strong to pale
ROOM_FOR_A_NAME = 0.12  # of the longest bar


def part_bars(parts: Mapping[str, Mapping[str, int]], colours: Theme) -> str:
    """Stacked bars, one a model, as HTML. `parts`: model name -> part -> count; names start with their role.

    Every bar is drawn on one scale, the longest one filling the width.
    """
    longest = max(1, *(sum(counts.values()) for counts in parts.values()))
    rows = []
    for name, counts in parts.items():
        total = sum(counts.values())
        segments = "".join(
            _segment(name, part, count, total, longest, shade, colours)
            for (part, count), shade in zip(counts.items(), SHADES, strict=False)
            if count
        )
        rows.append(
            f'<div style="margin:0 0 .15rem;color:{colours.ink}">{escape(name)} '
            f'<span style="color:{colours.quiet}">{total:,}</span></div>'
            f'<div style="display:flex;height:2.6rem;margin:0 0 .9rem">{segments}</div>'
        )
    summary = "; ".join(f"{name} {sum(counts.values()):,}" for name, counts in parts.items())
    return (
        f'<div role="img" aria-label="Parameters by part: {escape(summary)}" style="font-size:.9rem">'
        f"{''.join(rows)}</div>"
    )


def _segment(name: str, part: str, count: int, total: int, longest: int, shade: float, colours: Theme) -> str:
    share, colour = count / longest, colours.tint(name, shade)
    label = escape(part) if share > ROOM_FOR_A_NAME else ""
    about = f"{name}, {part}: {count:,} parameters, {count / total:.1%}"
    return (
        f'<div title="{escape(about)}" style="width:{100 * share:.3f}%;background:{colour};'
        f"color:{on(colour)};border-right:1px solid {colours.empty};box-sizing:border-box;"
        f'display:flex;align-items:center;justify-content:center;overflow:hidden;white-space:nowrap">{label}</div>'
    )
