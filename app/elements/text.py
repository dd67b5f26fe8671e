"""Text, tokens and numbers as they are shown. Knows no streamlit."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from html import escape

from app.elements.theme import Theme, mix, on

_SIGNS = re.compile(r"([!-/:-@\[-`{-~])")  # every sign of ASCII that could mean something to markdown
MOST_NAMED, LONGEST = 12, 40  # words in a sentence that lists them, letters of each


def some_words(words: Iterable[str]) -> str:
    """The first dozen different `words`, each once and harmless, and how many more there are."""
    each = list(dict.fromkeys(word if len(word) <= LONGEST else f"{word[:LONGEST]}…" for word in words))
    more = f" and {len(each) - MOST_NAMED:,} more" if len(each) > MOST_NAMED else ""
    return plain(", ".join(each[:MOST_NAMED])) + more


def plain(text: str) -> str:
    """`text` as markdown that shows it as it is: no link, no picture, no colour, no formula, one line."""
    return _SIGNS.sub(r"\\\1", " ".join(text.split()))


def written(value: float, write: str) -> str:
    """A number as people write it: a true minus, no minus before a zero, and nothing for what is not a number."""
    if value != value:
        return ""
    text = format(value, write)
    if not text.strip("+-0."):
        text = text.lstrip("+-")
    return text.replace("-", "\N{MINUS SIGN}")


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
