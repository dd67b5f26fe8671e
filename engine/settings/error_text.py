"""What an exception says, in one line: for errors of our own that pass on what a library or the system said.

Libraries raise errors of many lines, and of none. Knows no torch.
"""

from __future__ import annotations


def first_line(error: BaseException) -> str:
    """The first line of what `error` says, or the name of its class: for libraries that explain at length."""
    return _lines(error)[0]


def last_line(error: BaseException) -> str:
    """The last line of what `error` says, or the name of its class: for parsers that come to the point at the end."""
    return _lines(error)[-1]


def disk_reason(error: BaseException) -> str:
    """What the system says of a file or folder, without its number and path: "No space left on device"."""
    return str(getattr(error, "strerror", None) or error)


def on_one_line(text: object, most: int = 100) -> str:
    """`text` of somebody else's making for a sentence: at most `most` letters, none of them a line end or a control."""
    shown = "".join(letter if letter.isprintable() else "\ufffd" for letter in str(text)[: most + 1])
    return shown if len(shown) <= most else f"{shown[: most - 1]}…"


def _lines(error: BaseException) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
