"""Text from strangers, made harmless for markdown. Imports nothing of the project."""

from __future__ import annotations

import re
from collections.abc import Iterable

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
