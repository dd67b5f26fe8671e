"""What a model's files left open and was chosen silently, as sentences on stderr and under "notes" in JSON."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.teachers.catalog import NamedModel


def notes_of(*models: NamedModel | None) -> list[str]:
    """The notes of the cards of some models, a sentence each, behind the model's name; None has none."""
    from engine.teachers.checkpoint_files import shown  # which needs numpy: other verbs do without

    return [f"{shown(model.name)}: {note}" for model in models if model is not None for note in model.notes]


def say(notes: Iterable[str]) -> None:
    """Prints notes where they are in nobody's way."""
    for note in notes:
        print(note, file=sys.stderr)
