"""Text from strangers, made harmless for markdown. Imports nothing of the project."""

from __future__ import annotations

import re

_SIGNS = re.compile(r"([!-/:-@\[-`{-~])")  # every sign of ASCII that could mean something to markdown


def plain(text: str) -> str:
    """`text` as markdown that shows it as it is: no link, no picture, no colour, no formula, one line."""
    return _SIGNS.sub(r"\\\1", " ".join(text.split()))
