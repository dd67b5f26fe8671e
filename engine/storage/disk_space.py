"""Room on the disk: how much there is, and a full disk told in one sentence, whichever library met it. No torch."""

from __future__ import annotations

import errno
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

FULL = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}  # the disk, a limit, or a quota
FULL_WORDS = re.compile(r"os error (28|27|122|112)\b|no space left|file too large|quota exceeded", re.IGNORECASE)


class DiskFullError(OSError, ValueError):
    """Something does not fit on the disk, in one sentence with the bytes that it needs and those that are free."""


def free_bytes(folder: Path) -> int:
    """Bytes that may still be written in `folder`, or in the nearest folder above it that is there.

    Raises:
        OSError: the system does not tell.
    """
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def refuse_without_room(folder: Path, needed: int, what: str, advice: str) -> None:
    """Refuses what needs more bytes than are free in `folder`; nothing where the system does not tell.

    Raises:
        DiskFullError: `what`, which begins the sentence, does not fit; `advice` ends it.
    """
    free = _free_or_none(folder)
    if free is not None and free < needed:
        raise DiskFullError(f"{what} needs {needed:,} bytes on the disk and {free:,} are free; {advice}.")


@contextmanager
def told_when_full(folder: Path, needed: int, what: str, advice: str) -> Iterator[None]:
    """Inside, `what` of about `needed` bytes is written into `folder`: refused beforehand where they are not free.

    Raises:
        DiskFullError: as `refuse_without_room`, also where the disk fills up, or a limit is met, meanwhile.
    """
    refuse_without_room(folder, needed, what, advice)
    try:
        yield
    except Exception as error:
        if (reason := full_reason(error)) is None:
            raise
        free = _free_or_none(folder)
        room = "" if free is None else f" and {free:,} are free"
        raise DiskFullError(
            f"{what} could not be written: {reason}; it needs {needed:,} bytes{room}; {advice}."
        ) from error


def full_reason(error: BaseException | None) -> str | None:
    """What the system says of a full disk in `error`, or in one that it came from; None: it is about something else."""
    while error is not None:
        if isinstance(error, OSError) and error.errno in FULL:
            return error.strerror or "No space left on device"
        if not isinstance(error, OSError) and FULL_WORDS.search(str(error)):  # libraries that keep the words only
            return "File too large" if re.search("error 27|too large", str(error)) else "No space left on device"
        error = error.__cause__ or error.__context__
    return None


def _free_or_none(folder: Path) -> int | None:
    try:
        return free_bytes(folder)
    except OSError:
        return None
