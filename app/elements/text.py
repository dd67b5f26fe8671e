"""Text and numbers as they are shown, in markdown or in HTML. Never imports streamlit."""

from __future__ import annotations

import re
from collections.abc import Iterable

_MARKDOWN_SIGNS = re.compile(r"([!-/:-@\[-`{-~])")  # every sign of ASCII that could mean something to markdown
_ADDRESSES = re.compile(r"https?:(?=//)|www(?=\.)|[\w.+-](?=@)|:(?=[\w+/-]+:)", re.IGNORECASE)  # and :emoji:
_UNSEEN = re.compile("[\0-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufff9-\ufffb]")  # and text that runs backwards
LONGEST_SHOWN = 4_000  # characters
MOST_LISTED, LONGEST_WORD = 12, 40  # words in a sentence that lists them, letters of each


def list_words(words: Iterable[str]) -> str:
    """The first dozen different `words`, each once and harmless, and how many more there are."""
    each = list(dict.fromkeys(word if len(word) <= LONGEST_WORD else f"{word[:LONGEST_WORD]}…" for word in words))
    more = f" and {len(each) - MOST_LISTED:,} more" if len(each) > MOST_LISTED else ""
    return escape_markdown(", ".join(each[:MOST_LISTED])) + more


def escape_markdown(text: object) -> str:
    """`text` as markdown that shows it as it is: no link, no picture, no colour, no formula, one line.

    Everything that the project did not write itself goes through here before a page shows it: names, errors, cards,
    the page's link (a law in tests holds to that). An escaped address would still become a link, for
    the browser looks for addresses after it has taken escapes away; a joiner that nobody sees breaks it up.
    """
    words = " ".join(str(text).split())
    if not words.isascii():
        words = words.encode("utf-16", "surrogatepass").decode("utf-16", "replace")  # half a pair cannot be sent
    words = _UNSEEN.sub("\N{REPLACEMENT CHARACTER}", words)
    if len(words) > LONGEST_SHOWN:
        words = f"{words[:LONGEST_SHOWN]}…"
    return _MARKDOWN_SIGNS.sub(r"\\\1", _ADDRESSES.sub("\\g<0>\N{WORD JOINER}", words))


def join_word_pieces(tokens: Iterable[str]) -> str:
    """Tokens as one reads them: pieces of a word together, no space before a full stop, comma or the like."""
    return re.sub(r" (?=[.,!?])", "", " ".join(tokens).replace(" ##", ""))


def format_number(value: float, number_format: str) -> str:
    """A number as people write it: a true minus, no minus before a zero, and nothing for what is not a number."""
    if value != value:
        return ""
    text = format(value, number_format)
    if not text.strip("+-0."):
        text = text.lstrip("+-")
    return text.replace("-", "\N{MINUS SIGN}")


def elapsed(seconds: float) -> str:
    """Seconds for people: "48 s", "3 min 05 s", "2 h 10 min"."""
    minutes, left = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes:02} min"
    return f"{minutes} min {left:02} s" if minutes else f"{left} s"
