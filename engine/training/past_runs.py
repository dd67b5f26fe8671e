"""What earlier runs tell of the next one: how full its rows are, how fast this machine is. Reads cards; no torch."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.settings.run_config import RunConfig
from engine.storage.runs import RunError, list_runs

NEWEST = 60  # runs that are looked at


@dataclass(frozen=True)
class PastRuns:
    """Means over earlier runs; None: there was none like it."""

    tokens_a_row: float | None = None  # without padding
    flops_a_second: float | None = None  # of training steps


def past_runs_like(root: Path | None, config: RunConfig, corpus: str, pairs: str, task: str, device: str) -> PastRuns:
    """What the newest runs in `root` tell of `config`.

    Rows are those of runs on the same text and length, in the same kind of `pairs`, or those of
    the same `task`. Speed is that of runs of the same
    method and precision on the device of that name.
    """
    tokens = flops = None
    for card in _cards(root):
        options = card["options"]
        text = (card["corpus"], card["length"], options.get("pairs", "none"), options.get("task", ""))
        if tokens is None and text == (corpus, config.length, pairs, task):
            tokens = card["tokens"] / (card["steps_done"] * card["batch"])
        same = (card["method"], card["precision"], card["device_name"], card["processes"])
        if flops is None and same == (config.method, config.precision, device, config.processes):
            flops = card["flops"] / card["training_seconds"]
    return PastRuns(tokens, flops)


def _cards(root: Path | None) -> Iterator[dict[str, Any]]:
    """Cards that say what a run spent, newest first; others, and damaged ones, are passed over."""
    for run in list_runs(root)[:NEWEST] if root is not None and root.is_dir() else []:
        try:
            card = run.card()
        except RunError:
            continue
        if card is None or not all(card.get(name, 0) > 0 for name in ("tokens", "flops", "training_seconds")):
            continue
        if card["steps_done"] and "processes" in card:
            yield {"options": {}, **card}
