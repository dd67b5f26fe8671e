"""Tokens in colour, as plain HTML. Knows colours and text; no streamlit."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from app.theme import Theme, mix, on

EXPLAINED = {"hidden": "hidden", "random": "another word put there", "kept": "left as it is, and asked for"}


def masked_rows(rows: Sequence[Sequence[tuple[str, str, str]]], colours: Theme) -> str:
    """Masked examples, a line each: (token seen, its kind, true token). The true token stands where one is hidden."""
    legend = " ".join(_token(words, kind, "", colours) for kind, words in EXPLAINED.items())
    lines = "".join(
        '<li style="margin:0 0 .5rem;line-height:2">'
        + " ".join(_token(true if kind == "hidden" else seen, kind, true, colours) for seen, kind, true in row)
        + "</li>"
        for row in rows
    )
    return (
        f'<div style="font-size:.85rem;color:{colours.ink}"><p style="margin:0 0 .5rem">{legend}</p>'
        f'<ol style="margin:0;padding-left:1.6rem;overflow-wrap:anywhere">{lines}</ol></div>'
    )


def _token(shown: str, kind: str, true: str, colours: Theme) -> str:
    if kind == "plain":
        return escape(shown)
    colour = {"hidden": colours.student, "random": colours.series[0], "kept": colours.series[1]}[kind]
    ground = mix(colours.empty, colour, 1.0 if kind == "hidden" else 0.35)
    line = {"hidden": "none", "random": "line-through", "kept": "underline"}[kind]
    title = f"{EXPLAINED[kind]}; the word is {true}" if true else EXPLAINED[kind]
    return (
        f'<span title="{escape(title)}" style="background:{ground};color:{on(ground)};text-decoration:{line};'
        f'padding:.05rem .3rem;border-radius:.25rem">{escape(shown)}</span>'
    )
