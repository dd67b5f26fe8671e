"""What the score of a run is the score of: masked words, or the labels of a task.

A run says so in its first event and on its card; whoever reads it needs to know no method.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class ScoreKind:
    """A kind of question; the score is the share of right answers to it: `accuracy` (0-1) in a run's events."""

    name: str  # before _accuracy and _loss in a card's scores
    title: str
    of: str  # what the questions are about
    question: str  # one of them; a loss is so many nats each


MASKED_LM = ScoreKind("masked", "Masked accuracy", "held-out text", "hidden word")


def score_kind_of(record: Mapping[str, Any]) -> ScoreKind:
    """What the scores in `record`, a card or a run's first event, are of; where nothing is said, of masked words."""
    return ScoreKind(**record["measure"]) if record.get("measure") else MASKED_LM


def card_scores(kind: ScoreKind, taught: Mapping[str, float], learned: Mapping[str, float]) -> dict[str, float]:
    """A card's scores, from the teacher's and the student's "accuracy" and "loss"."""
    return {
        f"{kind.name}_accuracy": learned["accuracy"],
        f"{kind.name}_loss": learned["loss"],
        f"teacher_{kind.name}_accuracy": taught["accuracy"],
        f"teacher_{kind.name}_loss": taught["loss"],
        "retained": learned["accuracy"] / taught["accuracy"] if taught["accuracy"] else 0.0,
    }


def card_accuracies(card: Mapping[str, Any]) -> tuple[float, float]:
    """The student's and the teacher's accuracy (0-1) on a card."""
    name = score_kind_of(card).name
    return card["scores"][f"{name}_accuracy"], card["scores"][f"teacher_{name}_accuracy"]


def score_kind_json(kind: ScoreKind) -> dict[str, str]:
    """`kind` as plain values, as a run's first event and its card keep them."""
    return asdict(kind)
