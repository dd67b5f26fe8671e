"""Which device computes, and in which precision: CUDA, Apple's MPS or the CPU. Knows nothing of models."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import platform
from dataclasses import dataclass

import torch

from engine.settings.options import ConfigError
from engine.settings.run_config import PRECISIONS


@dataclass(frozen=True)
class Device:
    """One device and how it is used."""

    type: str  # cuda, mps or cpu
    name: str  # for people, such as "NVIDIA H200" or "CPU, 8 threads"
    mixed_precision: bool  # bfloat16 matrix products, float32 weights
    count: int = 1  # how many processes of one run it is good for: GPUs, or CPU cores

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """The context in which forward passes run: bfloat16 where the device is good at it."""
        if self.mixed_precision:
            return torch.autocast(self.type, torch.bfloat16)
        return contextlib.nullcontext()

    def synchronize(self) -> None:
        """Returns when the device has done all that it was asked for: before and after what a clock measures."""
        if self.type == "cuda":
            torch.cuda.synchronize()
        elif self.type == "mps":
            torch.mps.synchronize()


def full_precision(device_type: str) -> contextlib.AbstractContextManager[object]:
    """The context in which products stay in float32 even inside `Device.autocast`."""
    if torch.amp.is_autocast_available(device_type):
        return torch.autocast(device_type, enabled=False)
    return contextlib.nullcontext()


def pick_device(wanted: str = "auto", precision: str = "auto") -> Device:
    """The device of type `wanted`, or the best one of this machine for "auto".

    `precision`: float32, bfloat16 (products only; weights stay in float32), or "auto", which takes bfloat16 on a GPU
    that has it and float32 elsewhere: a CPU's choice would otherwise change what a published seed gives.

    Raises:
        ConfigError: this machine has no such device, the device not this precision, or there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ConfigError([f"precision must be one of {', '.join(PRECISIONS)}, got {precision[:60]!r}."])
    device = _pick(wanted)
    if precision == "auto":
        return device
    if precision == "bfloat16" and (device.type == "mps" or (device.type == "cuda" and not device.mixed_precision)):
        raise ConfigError([f"{device.name} has no bfloat16 products worth having; choose float32, or auto."])
    return dataclasses.replace(device, mixed_precision=precision == "bfloat16")


def _pick(wanted: str) -> Device:
    has = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    best = next(name for name, present in has.items() if present)
    if wanted == "auto":
        wanted = best
    if not has.get(wanted, False):
        here = ", ".join(name for name, present in has.items() if present)
        raise ConfigError([f"This machine has no {wanted} device; it has {here}. Choose one of these, or auto."])
    if wanted == "cuda":
        local, count = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
        if local >= count:
            raise ConfigError(
                [f"Process {local + 1} of this machine has no GPU, for there are {count}; start {count}."]
            )
        torch.cuda.set_device(local)  # under torchrun "cuda" is from now on this process's own GPU
        return Device("cuda", torch.cuda.get_device_name(), torch.cuda.is_bf16_supported(), count)
    if wanted == "mps":
        return Device("mps", f"Apple GPU ({platform.machine()})", False)
    threads = torch.get_num_threads()
    return Device("cpu", f"CPU, {threads} thread{'s' if threads > 1 else ''}", False, os.cpu_count() or 1)
