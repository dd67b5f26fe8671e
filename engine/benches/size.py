"""How fast the calculator is: python -m engine bench size.

Answers are timed here; the whole command, and one changed control on the page, in processes of their own.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from engine.settings.project import PROJECT
from engine.sizing.comparison import Comparison, Configuration, editable_fields
from engine.sizing.comparison_link import from_link, to_link
from engine.sizing.cost import parameters, parameters_by_part
from engine.sizing.footprint import TrainingBatch, executed_by_part, flops, training_memory
from engine.sizing.roofline import ACCELERATORS
from engine.sizing.shape import Shape
from engine.sizing.solver import SizeBudget, find_shapes, widest_by_depth
from engine.sizing.sweep import SWEEPABLE, sweep
from engine.sizing.tensors import tensor_kinds

WANTED = {  # seconds: what each answer may take
    "four models counted": 0.1,
    "backwards, 55M": 0.5,
    "backwards, everything free": 0.5,
    "backwards, latency": 0.5,
    "every what-if curve": 0.5,
    "link, there and back": 0.1,
    "whole command": 0.4,
    "changed control, server": 0.1,
}
FOUR = Comparison(tuple(map(Configuration.of, ("bert-base", "wid55-516", "albert-base", "tinybert-4"))))


def bench_size(repeats: int = 7, page: bool = True) -> dict[str, Any]:
    """Median and worst seconds of every answer in WANTED. Without `page` (or the app) its row is missing."""
    found = {name: _timed(action, repeats) for name, action in _actions().items()}
    found["whole command"] = _timed(_command, repeats)
    if page:
        seconds = _page(repeats)
        if seconds:
            found["changed control, server"] = {"median": statistics.median(seconds), "worst": max(seconds)}
    return {
        "answers": {name: times | {"wanted": WANTED[name]} for name, times in found.items()},
        "repeats": repeats,
        "python": sys.version.split()[0],
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def table(found: dict[str, Any]) -> str:
    """What `bench_size` found, for people."""
    lines = [f"{'':30}{'median ms':>12}{'worst ms':>12}{'wanted':>12}"]
    for name, times in found["answers"].items():
        cells = (f"{1000 * times[key]:,.1f}" for key in ("median", "worst", "wanted"))
        lines.append(f"{name:30}" + "".join(f"{cell:>12}" for cell in cells))
    load = "" if found["load"] is None else f"; load {found['load']:.1f}"
    return "\n".join([*lines, f"{found['repeats']} repeats, Python {found['python']}{load}"])


def _actions() -> dict[str, Callable[[], object]]:
    base, batch = Shape(), TrainingBatch()

    def four() -> None:
        for configuration in FOUR.configurations:
            shape = configuration.shape
            parameters(shape), parameters_by_part(shape), tensor_kinds(shape), executed_by_part(shape)
            flops(shape, 128), training_memory(shape, batch)

    def question(budget: SizeBudget, *keep: str) -> Callable[[], object]:
        return lambda: (find_shapes(base, budget, keep), widest_by_depth(base, budget, keep))

    latency = SizeBudget("latency", 1e-4, "bfloat16", 128, ACCELERATORS["h100"])
    usual = ("layers", "ffn", "embedding", "vocab")
    return {
        "four models counted": four,
        "backwards, 55M": question(SizeBudget("parameters", 55e6), *usual),
        "backwards, everything free": question(SizeBudget("parameters", 11e6)),
        "backwards, latency": question(latency, "ffn", "embedding", "vocab"),
        "every what-if curve": lambda: [sweep(editable_fields(base), name) for name in SWEEPABLE],
        "link, there and back": lambda: from_link(
            {k: [v] if isinstance(v, str) else v for k, v in to_link(FOUR).items()}
        ),
    }


def _timed(action: Callable[[], object], repeats: int) -> dict[str, float]:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return {"median": statistics.median(times), "worst": max(times)}


def _command() -> None:
    command = [sys.executable, "-m", "engine", "size", "--preset", "bert-base"]
    subprocess.run(command, cwd=PROJECT, capture_output=True, check=True)


def _page(repeats: int) -> list[float] | None:
    """Seconds of server time for one moved slider each; None where the app is not installed."""
    command = [sys.executable, "-m", "app.size.bench", str(repeats)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 else None
