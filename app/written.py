"""Numbers as people write them. Imports nothing."""

from __future__ import annotations


def written(value: float, write: str) -> str:
    """A number as people write it: a true minus, no minus before a zero, and nothing for what is not a number."""
    if value != value:
        return ""
    text = format(value, write)
    if not text.strip("+-0."):
        text = text.lstrip("+-")
    return text.replace("-", "\N{MINUS SIGN}")
