"""How much memory work takes at its peak: on CUDA as torch counts it, elsewhere as Linux tells of this process.

None stands for a system that does not tell.
"""

from __future__ import annotations

import ctypes
import gc
from pathlib import Path

import torch

from engine.settings.device import Device


class PeakMemory:
    """The most bytes that work takes, above what an empty process with its libraries takes.

    Made before anything is built; `reset` is called when all is ready, and `peak_bytes` after the work.
    """

    def __init__(self, device: Device) -> None:
        self.device = device
        torch.randn(256, 256, device=device.type) @ torch.randn(256, 256, device=device.type)  # loads the libraries
        self._empty, self._known = _status("VmRSS"), True

    def reset(self) -> None:
        """Forgets what building took at its peak."""
        gc.collect()
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats()
        else:
            self._known = _reset_peak()

    def peak_bytes(self) -> int | None:
        """The peak since `reset`; None where the system does not tell."""
        if self.device.type == "cuda":
            return torch.cuda.max_memory_allocated()
        peak = _status("VmHWM")
        return peak - self._empty if self._known and peak is not None and self._empty is not None else None


def _reset_peak() -> bool:
    """Gives freed memory back and resets the system's record of the peak; whether that worked."""
    try:
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")
    except (OSError, AttributeError):
        return False
    return True


def _status(field: str) -> int | None:
    """Bytes: VmRSS, what this process holds now, or VmHWM, the most that it has held since `_reset_peak`."""
    try:
        lines = Path("/proc/self/status").read_text().splitlines()
    except OSError:
        return None
    return next((int(line.split()[1]) * 1024 for line in lines if line.startswith(field)), None)
