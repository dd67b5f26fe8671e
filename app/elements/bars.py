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
    format_count: Callable[[int], str] = "{:,}".format,
) -> str:
    """Stacked bars, one a model, as HTML. Every bar is drawn on one scale, the longest one filling the width."""
    longest = max(1, *(sum(bar.counts.values()) for bar in bars))
    rows = []
    for bar in bars:
        total = sum(bar.counts.values())
        segments = "".join(
            _segment(bar, part, count, total, longest, shade, colours, unit, format_count)
            for (part, count), shade in zip(bar.counts.items(), SHADES, strict=False)
            if count
        )
        rows.append(
            f'<div style="margin:0 0 .15rem;color:{colours.ink};overflow-wrap:anywhere">{escape(bar.name)} '
            f'<span style="color:{colours.quiet}">{format_count(total)}</span></div>'
            f'<div style="display:flex;height:2.2rem;margin:0 0 .8rem">{segments}</div>'
        )
    summary = "; ".join(f"{bar.name} {format_count(sum(bar.counts.values()))}" for bar in bars)
    about = escape(f"{title}: {summary}")
    return f'<div role="group" aria-label="{about}" style="font-size:.9rem">{"".join(rows)}</div>'


def part_label(part: str) -> str:
    """The name of `part` for people."""
    return LABELS.get(part, part)


def part_class(part: str) -> str:
    """The CSS class of everything that belongs to `part`."""
    return "part-" + re.sub("[^A-Za-z]", "-", part)


def highlight_style(parts: Sequence[str], chosen_part: str, key_prefix: str) -> str:
    """A style sheet: what belongs to the part that is pointed at, or else chosen, stays; everything else turns faint.

    `key_prefix`: the prefix of the keys of containers that hold a part's term, such as "size_term".
    """
    rules = [".part{transition:opacity .12s}"]
    bars = f":is({', '.join(f'.{part_class(part)}' for part in parts)})"  # bars of other things stay as they are
    terms = f"[class*='st-key-{key_prefix}_']"
    for part in parts:
        own_bar, own_term = f".{part_class(part)}", f".st-key-{key_prefix}_{part.replace(' ', '_')}"
        when = [f"body:has({own_bar}:hover, {own_bar}:focus, {own_term}:hover)"]
        if part == chosen_part:
            when.append("body:not(:has(.part:hover, .part:focus))")  # nothing is pointed at
        rules += [
            f"{state} {bars}:not({own_bar}), {state} {terms}:not({own_term}){{opacity:{FADED_OPACITY}}}"
            for state in when
        ]
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
    format_count: Callable[[int], str],
) -> str:
    share, colour = count / longest, mix(colours.empty, bar.colour, shade)
    name = escape(part_label(part)) if share > LEAST_NAMED_SHARE else ""
    # beside something that is as high as the bar, a name that does not fit wraps to a line that nobody sees
    label = f'<span style="height:100%"></span><span>{name}</span>' if name else ""
    about = escape(f"{bar.name}, {part_label(part)}: {format_count(count)} {unit}, {count / total:.1%}")
    return (
        f'<div class="part {part_class(part)}" tabindex="0" role="img" aria-label="{about}" title="{about}" '
        f'style="width:{100 * share:.3f}%;min-width:2px;background:{colour};'
        f"color:{readable_on(colour)};border-right:1px solid {colours.empty};box-sizing:border-box;"
        f'display:flex;flex-wrap:wrap;align-items:center;justify-content:center;overflow:hidden;white-space:nowrap">'
        f"{label}</div>"
    )
