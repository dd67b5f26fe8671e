"""Whatever can be looked at or scored: a teacher by its name, or a run's student by the run's id."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine import teachers
from engine.runs import open_run

if TYPE_CHECKING:
    from engine.bert import Bert


@dataclass(frozen=True)
class AnyModel:
    """A model with what is needed to score it."""

    name: str
    bert: Bert
    tokenizer: Any
    corpus: str  # the text it knows
    length: int
    teacher: str  # whom it learned from; empty for a teacher


def open_model(name: str, runs: Path) -> AnyModel:
    """The teacher `name` (a registered one, hub:, local: or run:), or the student of the run with this id in `runs`.

    Raises:
        ValueError: (TeacherError, RunError, CheckpointError) there is none, or it is damaged.
    """
    if name in teachers.TEACHERS or ":" in name:
        teacher = teachers.load(name, runs)
        parent = teachers.parent_run(name)
        above = teachers.student_card(parent, runs).get("teacher", "") if parent else ""
        return AnyModel(name, teacher.bert, teacher.tokenizer, teacher.card.corpus, teacher.card.length, str(above))
    from engine.checkpoints import load_model

    model = load_model(open_run(runs, name).student_dir)
    card = model.card
    return AnyModel(name, model.bert, model.tokenizer, str(card["corpus"]), int(card["length"]), str(card["teacher"]))
