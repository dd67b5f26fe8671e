"""What a teacher is: `Card`, which can be read before its weights are, and `Teacher`, the loaded model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine.sizing.shape import Shape

if TYPE_CHECKING:
    from engine.model.bert import Bert

ENGLISH = "The old dog slept by the fire because it was tired."  # a sentence to look at attention with


class TeacherError(ValueError):
    """A teacher that cannot be had, in one sentence."""


@dataclass(frozen=True)
class Card:
    """What is known of a teacher before its weights are loaded."""

    name: str
    label: str
    shape: Shape
    about: str  # what it was trained on, and how
    objective: str  # what it was trained to do
    licence: str
    corpus: str  # the text it learns from when nothing else is asked for
    length: int  # the sequence length that suits that text, in tokens
    batch: int  # the batch size that suits it
    example: str  # a sentence to look at its attention with
    has_head: bool = True  # False: its masked-LM head is new and untrained
    scores: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()  # what was chosen where its files say nothing or two things, a sentence each


@dataclass(frozen=True)
class Teacher:
    """A loaded teacher."""

    card: Card
    bert: Bert
    tokenizer: Any
