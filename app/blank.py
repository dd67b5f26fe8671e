"""Where a sentence gets its first blank: a word that something in the sentence asks for. No streamlit."""

from __future__ import annotations

import re

REFLEXIVE = re.compile(r"(?:my|your|him|her|it)self|(?:our|your|them)selves", re.IGNORECASE)
WORD = re.compile(r"[^\W\d_]+")
BLANK = "[MASK]"


def with_a_blank(sentence: str) -> str:
    """`sentence` with one word hidden: a reflexive, which its subject decides, or else the longest word.

    A sentence without a word becomes a blank.
    """
    words = list(WORD.finditer(sentence))
    if not words:
        return BLANK
    chosen = next((word for word in words if REFLEXIVE.fullmatch(word[0])), None)
    chosen = chosen or max(words, key=lambda word: len(word[0]))
    return sentence[: chosen.start()] + BLANK + sentence[chosen.end() :]
