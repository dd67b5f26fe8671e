"""This process's memory, now and at its peak, as Linux tells it. None where the system does not tell."""

from __future__ import annotations

import ctypes
from pathlib import Path


def resident() -> int | None:
    """Bytes of memory that this process holds."""
    return _status("VmRSS")


def peak() -> int | None:
    """The most bytes that this process has held since `forget_the_past`, or since its start."""
    return _status("VmHWM")


def forget_the_past() -> bool:
    """Gives freed memory back and resets the system's record of the peak; whether that worked."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return False
    return True


def _status(field: str) -> int | None:
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), None)
