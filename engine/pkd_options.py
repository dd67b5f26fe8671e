"""The options of PKD, and which of them belong together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine import tasks
from engine.config import option

TASKS = tuple(name for name, task in tasks.TASKS.items() if task.classes and task.metrics[0] == "accuracy")
MATCHED = ("skip", "last")


@dataclass(frozen=True)
class PkdOptions:
    """Options of PKD."""

    task: str = option(
        "grammar", "The labelled task that the teacher learns first, and then the student.", choices=TASKS
    )
    matched: str = option(
        "skip",
        "Which of the teacher's layers are imitated: every k-th (PKD-Skip), or the last ones (PKD-Last). The last "
        "layer itself is left out: the classifier reads it.",
        choices=MATCHED,
        label="imitated layers",
    )
    temperature: float = option(10.0, "Flattens the teacher's probabilities.", least=0.1, most=100.0)
    soft: float = option(
        0.7,
        "Weight of the teacher's probabilities (the paper's alpha); the rest goes to the labels.",
        least=0.0,
        most=1.0,
        label="weight of soft targets",
    )
    patient: float = option(
        500.0,
        "Weight of the [CLS] states (the paper's beta, which it chooses among 10, 100, 500 and 1,000); large, because "
        "a mean over dims of vectors of length 1 is small.",
        least=0.0,
        most=1e5,
        label="weight of patience",
    )
    teacher_epochs: int = option(
        3, "How often the teacher sees the task's examples before it teaches.", least=1, most=100, advanced=True
    )
    teacher_lr: float = option(
        1e-4,
        "Peak learning rate of the teacher's fine-tuning.",
        least=1e-7,
        most=1.0,
        label="teacher's learning rate",
        advanced=True,
    )
    lr: float = option(1e-3, "Peak learning rate of the student.", least=1e-7, most=1.0, label="learning rate")


PRESETS: dict[str, dict[str, Any]] = {
    "short runs": {},
    "paper": {"lr": 5e-5, "teacher_lr": 2e-5, "teacher_epochs": 4},
}
PRESET_NOTES: dict[str, str] = {
    "short runs": "The paper's losses at learning rates for some hundred steps of a small model.",
    "paper": "The rates of the authors' release for BERT base: 4 epochs of the task, batches of 32 texts, 5e-5 the "
    "largest of three rates that it tries.",
}
