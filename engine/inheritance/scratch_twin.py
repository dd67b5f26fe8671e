"""A run's twin: the student of the same shape that learned from scratch on the same budget. Reads cards; no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from engine.settings.run_config import train_command
from engine.storage.runs import Run, RunError, list_runs

SAME = ("teacher", "corpus", "steps", "batch", "length", "seed", "masking", "mask_share")  # what a budget is
SHAPE = ("layers", "hidden", "heads", "head_dim", "ffn")
METHOD = "scratch"


def find_twin(card: dict[str, Any], runs: Path) -> Run | None:
    """The newest finished run from scratch in `runs` with the shape, text, steps and seed of the run with this card.

    A run from scratch has no other twin than itself: None.
    """
    if card.get("method") == METHOD:
        return None
    for run in list_runs(runs):
        try:
            other = run.card()
        except RunError:
            continue  # somebody else's damaged card
        if other and other.get("method") == METHOD and other.get("complete") and run.student_dir.is_dir():
            same = all(other.get(name) == card.get(name) for name in SAME)
            if same and _sizes(other) == _sizes(card):
                return run
    return None


def twin_config(card: dict[str, Any]) -> dict[str, Any]:
    """The settings of the twin that the run with this card would need, as RunConfig takes them."""
    return {**{name: card[name] for name in SAME if name in card}, "method": METHOD, "student": _sizes(card)}


def twin_command(card: dict[str, Any]) -> str:
    """The command that makes the twin."""
    return train_command(twin_config(card))


def twin_name(card: dict[str, Any]) -> str:
    """What the twin's run is called."""
    return f"{METHOD}-{card['shape']['layers']}x{card['shape']['hidden']}"


def _sizes(card: dict[str, Any]) -> dict[str, Any]:
    return {name: card["shape"][name] for name in SHAPE if name in card["shape"]}
