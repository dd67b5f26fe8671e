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


def _lines(error: BaseException) -> list[str]:
    return [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
