"""A run's baseline: the student of the same shape that learned from scratch on the same budget, found among the runs.

Reads cards; no torch.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.settings.run_config import train_command
from engine.storage.runs import Run, RunError, list_runs

SAME_BUDGET = ("teacher", "corpus", "steps", "batch", "length", "seed", "masking", "mask_share")  # what a budget is
SHAPE_SIZES = ("layers", "hidden", "heads", "head_dim", "ffn")
SCRATCH = "scratch"


def find_scratch_baseline(card: dict[str, Any], runs: Path) -> Run | None:
    """The newest finished run from scratch in `runs` with the shape, text, steps and seed of the run with this card.

    A run from scratch has no other baseline than itself: None.
    """
    if card.get("method") == SCRATCH:
        return None
    for run in list_runs(runs):
        try:
            other = run.card()
        except RunError:
            continue  # somebody else's damaged card
        if other and other.get("method") == SCRATCH and other.get("complete") and run.student_dir.is_dir():
            same = all(other.get(name) == card.get(name) for name in SAME_BUDGET)
            if same and _shape_sizes(other) == _shape_sizes(card):
                return run
    return None


def scratch_baseline_config(card: dict[str, Any]) -> dict[str, Any]:
    """The settings of the baseline that the run with this card would need, as RunConfig takes them."""
    return {
        **{name: card[name] for name in SAME_BUDGET if name in card},
        "method": SCRATCH,
        "student": _shape_sizes(card),
    }


def scratch_baseline_command(card: dict[str, Any]) -> str:
    """The command that makes the baseline."""
    return train_command(scratch_baseline_config(card))


def scratch_baseline_name(card: dict[str, Any]) -> str:
    """What the baseline's run is called."""
    return f"{SCRATCH}-{card['shape']['layers']}x{card['shape']['hidden']}"


def _shape_sizes(card: dict[str, Any]) -> dict[str, Any]:
    return {name: card["shape"][name] for name in SHAPE_SIZES if name in card["shape"]}
