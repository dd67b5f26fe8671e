"""A run with pictures as the engine writes it, without training anything."""

import base64
from pathlib import Path
from typing import Any

import numpy as np

from engine import runs
from engine.runs import Run

FULL = {"residual": 8, "attention": 8, "ffn": 16, "transform": 8}
NAMES = ("residual", "attention 0", "ffn 0", "attention 1", "ffn 1", "transform")
STEPS = 40
CLOSED_AT = 20  # step at which half of the dims are gone


def packed(norms: np.ndarray) -> str:
    """Norms (1 as at birth) as an event carries them."""
    return base64.b64encode(np.clip(np.asarray(norms) * 100, 0, 255).round().astype(np.uint8).tobytes()).decode()


def group(of: str, closed: float, **other: Any) -> dict[str, Any]:
    """The group `of` a picture in which the share `closed` (0 to 1) of what must go is gone: its last dims."""
    full = FULL[of.split()[0]]
    gone = round(full / 2 * closed)
    sizes = {"full": full, "goal": full // 2, "present": full - gone, "kept": full - gone}
    norms = packed(np.arange(full) < full - gone)
    return {"name": of, "kind": of.split()[0], **sizes, "norms": norms, **other}


def picture(step: int) -> dict[str, Any]:
    """The picture event of `step`."""
    closed = min(1.0, step / CLOSED_AT)
    groups = [group(name, closed) for name in NAMES]
    return {"kind": "picture", "step": step, "groups": groups, "multiply_adds_per_token": round(9e6 - 6e6 * closed)}


def step_event(step: int) -> dict[str, Any]:
    """The step event of `step`."""
    return {
        "kind": "step",
        "step": step,
        "loss": 2.0,
        "losses": {"masked-LM": 2.0},
        "numbers": {kind: 100 - 50 * min(1.0, step / CLOSED_AT) for kind in FULL},
        "tokens_per_second": 1000.0,
        "step_seconds": 0.1,
        "seconds_left": 0.1 * (STEPS - step),
        "seconds": 0.1 * step,
        "tokens": 2_000 * step,
        "flops": 10**9 * step,
        "training_seconds": 0.05 * step,
    }


def beginning(*, counted: bool = True) -> list[dict[str, Any]]:
    """The events of a run before its first step; `counted`: the start says how many multiply-adds there are."""
    start = {
        "kind": "start",
        "step": 0,
        "steps": STEPS,
        "numbers_title": "Dims still open",
        "numbers_unit": "% of the teacher's",
    }
    if counted:
        start["multiply_adds_per_token"] = {"teacher": 6_000_000, "student": 2_000_000}
    return [
        start,
        {"kind": "teacher", "accuracy": 0.6, "loss": 1.5},
        {"kind": "evaluation", "step": 0, "accuracy": 0.6, "loss": 1.5},
    ]


def write_run(root: Path, events: list[dict[str, Any]]) -> Run:
    """A run folder under `root` that holds `events`."""
    run = runs.create(root, {"method": "wid"}, "pictured")
    for event in events:
        run.append(event)
    return run
