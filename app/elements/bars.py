"""Stacked bars in plain HTML: drawn at once, long before a chart library has loaded.

Pointing at a part, or reaching it with the tab key, dims all others, and so does choosing one.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from app.elements.theme import Theme, mix, readable_on

SHADES = (1.0, 0.82, 0.64, 0.46, 0.34, 0.24)  # the parts of one model: one hue, from strong to pale
LEAST_NAMED_SHARE = 0.12  # of the longest bar
LABELS = {"ffn": "FFN", "layer norms": "LayerNorms"}  # parts whose name is not written as the engine spells it
FADED_OPACITY = 0.3  # opacity of what is not pointed at


@dataclass(frozen=True)
class Bar:
    """One model's bar."""

    name: str
    colour: str
    counts: Mapping[str, int]  # part -> how much


def stacked_bars(
    bars: Sequence[Bar],
    colours: Theme,
    unit: str = "parameters",
    title: str = "Parameters by part",
    number: Callable[[int], str] = "{:,}".format,
) -> str:
    """Stacked bars, one a model, as HTML. Every bar is drawn on one scale, the longest one filling the width."""
    longest = max(1, *(sum(bar.counts.values()) for bar in bars))
    rows = []
    for bar in bars:
        total = sum(bar.counts.values())
        segments = "".join(
            _segment(bar, part, count, total, longest, shade, colours, unit, number)
            for (part, count), shade in zip(bar.counts.items(), SHADES, strict=False)
            if count
        )
        rows.append(
            f'<div style="margin:0 0 .15rem;color:{colours.ink};overflow-wrap:anywhere">{escape(bar.name)} '
            f'<span style="color:{colours.quiet}">{number(total)}</span></div>'
            f'<div style="display:flex;height:2.2rem;margin:0 0 .8rem">{segments}</div>'
        )
    summary = "; ".join(f"{bar.name} {number(sum(bar.counts.values()))}" for bar in bars)
    about = escape(f"{title}: {summary}")
    return f'<div role="group" aria-label="{about}" style="font-size:.9rem">{"".join(rows)}</div>'


def part_label(part: str) -> str:
    """The name of `part` for people."""
    return LABELS.get(part, part)


def part_class(part: str) -> str:
    """The CSS class of everything that belongs to `part`."""
    return "part-" + re.sub("[^A-Za-z]", "-", part)


def highlight_style(parts: Sequence[str], chosen: str, term: str) -> str:
    """A style sheet: what belongs to the part that is pointed at, or else chosen, stays; everything else turns faint.

    `term`: the prefix of the keys of containers that hold a part's term, such as "size_term".
    """
    rules = [".part{transition:opacity .12s}"]
    others = f":is({', '.join(f'.{part_class(part)}' for part in parts)})"  # bars of other things stay as they are
    for part in parts:
        name = part_class(part)
        key = f".st-key-{term}_{part.replace(' ', '_')}"
        here = f".{name}:hover, .{name}:focus, {key}:hover"
        rules.append(
            f"body:has({here}) {others}:not(.{name}), body:has({here}) [class*='st-key-{term}_']:not({key})"
            f"{{opacity:{FADED_OPACITY}}}"
        )
        if part == chosen:
            calm = "body:not(:has(.part:hover, .part:focus))"
            rules.append(
                f"{calm} {others}:not(.{name}), {calm} [class*='st-key-{term}_']:not({key}){{opacity:{FADED_OPACITY}}}"
            )
    return f"<style>{''.join(rules)}</style>"


def part_shade(colour: str, index: int, colours: Theme) -> str:
    """The colour of part number `index` of a model whose colour is `colour`."""
    return mix(colours.empty, colour, SHADES[index % len(SHADES)])


def _segment(
    bar: Bar,
    part: str,
    count: int,
    total: int,
    longest: int,
    shade: float,
    colours: Theme,
    unit: str,
    number: Callable[[int], str],
) -> str:
    share, colour = count / longest, mix(colours.empty, bar.colour, shade)
    label = escape(part_label(part)) if share > LEAST_NAMED_SHARE else ""
    about = escape(f"{bar.name}, {part_label(part)}: {number(count)} {unit}, {count / total:.1%}")
    return (
        f'<div class="part {part_class(part)}" tabindex="0" role="img" aria-label="{about}" title="{about}" '
        f'style="width:{100 * share:.3f}%;min-width:2px;background:{colour};'
        f"color:{readable_on(colour)};border-right:1px solid {colours.empty};box-sizing:border-box;"
        f'display:flex;align-items:center;justify-content:center;overflow:hidden;white-space:nowrap">{label}</div>'
    )
