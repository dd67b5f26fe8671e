"""How benches take times: actions in turn, the first rounds left out, medians; and what is said of the machine."""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.settings.device import Device

Action = Callable[[], object]
MOST_IN_TIME = 200  # measurements of one action by `time_within`


def time_in_turn(
    actions: Mapping[str, Action], repeats: int, warmup: int = 0, device: Device | None = None
) -> dict[str, list[float]]:
    """Seconds of each of `repeats` calls of every action.

    Actions take turns, so that a slow moment of the machine hits all of them alike. The first `warmup` rounds, which
    import, make buffers and moments, are left out. Work on `device` is waited for.
    """
    seconds: dict[str, list[float]] = {name: [] for name in actions}
    for _ in range(warmup + repeats):
        for name, action in actions.items():
            seconds[name].append(time_once(action, device))
    return {name: taken[warmup:] for name, taken in seconds.items()}


def time_repeats(action: Action, repeats: int, warmup: int = 0, device: Device | None = None) -> list[float]:
    """Seconds of each of `repeats` calls of one action, as `time_in_turn`."""
    return time_in_turn({"": action}, repeats, warmup, device)[""]


def time_within(action: Action, limit: float, device: Device | None = None) -> list[float]:
    """Seconds of as many calls as fit into about `limit` seconds, at least three; the first call is left out."""
    seconds: list[float] = []
    began = time.perf_counter()
    while len(seconds) < 4 or (time.perf_counter() - began < limit and len(seconds) < MOST_IN_TIME):
        seconds.append(time_once(action, device))
    return seconds[1:]


def time_once(action: Action, device: Device | None = None) -> float:
    """Seconds of one call, until `device` has done all that the call asked of it."""
    if device:
        device.synchronize()
    began = time.perf_counter()
    action()
    if device:
        device.synchronize()
    return time.perf_counter() - began


def median_and_worst(seconds: Sequence[float]) -> dict[str, float]:
    """What is shown of an answer's times."""
    return {"median": statistics.median(seconds), "worst": max(seconds)}


def median_and_spread(seconds: Sequence[float]) -> dict[str, Any]:
    """What is shown of a training step's times: the median as `seconds`, fastest and slowest as `spread`."""
    return {"seconds": statistics.median(seconds), "spread": [min(seconds), max(seconds)]}


def measured_on(device: Device) -> dict[str, str]:
    """What a published figure says of where it was measured."""
    import torch

    return {"device": device.name, "torch": torch.__version__}


def training_precision(device: Device) -> str:
    """The precision of matrix products in training on `device`."""
    return "bfloat16" if device.mixed_precision else "float32"


def load_average() -> float | None:
    """How many processes wanted to run in the last minute; None where the system does not tell."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def conditions(repeats: int, load: float | None, python: str = "") -> str:
    """The line below a table of times: what they are medians of, and how busy the machine was."""
    version = f", Python {python}" if python else ""
    return f"{repeats} repeats{version}" + ("" if load is None else f"; load {load:.1f}")


def times_table(answers: Mapping[str, Mapping[str, Any]], unit: str, width: int) -> list[str]:
    """Lines of a table: of every answer its median and worst time, and what it may take, in `unit` (s or ms).

    An answer has the keys median, worst and wanted, all in seconds; a wanted one of None is left empty. Names take
    `width` columns.
    """
    factor, number, goal = {"s": (1, ".3f", "g"), "ms": (1000, ",.1f", ",.1f")}[unit]
    lines = [f"{'':{width}}{f'median {unit}':>12}{f'worst {unit}':>12}{'wanted':>12}"]
    for name, answer in answers.items():
        median, worst = (f"{factor * answer[key]:{number}}" for key in ("median", "worst"))
        wanted = "" if answer["wanted"] is None else f"{factor * answer['wanted']:{goal}}"
        lines.append(f"{name:{width}}{median:>12}{worst:>12}{wanted:>12}")
    return lines
