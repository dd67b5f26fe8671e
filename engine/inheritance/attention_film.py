"""A run's film: at every evaluation its student's attention on fixed probe sentences, kept on disk and scored.

The training loop calls `start_film` once and `frame_events` at every evaluation. It costs a forward pass over a dozen
short sentences, takes no random number and changes nothing of what is learned.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from engine.inheritance.head_distances import InheritanceError, head_distances
from engine.inheritance.probe_sentences import held_out_sentences, sentence_attention
from engine.inheritance.random_null import random_student_distances
from engine.inheritance.score import (
    ScoreInterval,
    best_pairs,
    inheritance_score,
    random_score,
    same_place_pairs,
    shuffled_score,
)
from engine.model.bert import Bert
from engine.sizing.shape import Shape
from engine.storage.attention_frames import (
    AttentionFramesError,
    write_frame_sentences,
    write_student_frame,
    write_teacher_frame,
)
from engine.tasks.batches import TaskData
from engine.text.corpora import Corpus
from engine.text.sentence_pairs import PairCorpus

SENTENCES = 12


def start_film(folder: Path, teacher: Bert, data: Any, student: Shape, device: str) -> AttentionFilm | None:
    """The film of a run that learns from `data`; None where that holds out no sentence of two words."""
    if isinstance(data, Corpus | PairCorpus | TaskData):
        with suppress(InheritanceError):
            return AttentionFilm(folder, teacher, data, student, device)
    return None


def frame_events(film: AttentionFilm | None, student: nn.Module, step: int) -> Iterator[dict[str, Any]]:
    """The event of the student's frame at `step`, if there is a film."""
    if film is not None:
        yield film.record(student, step)


class AttentionFilm:
    """Records where a student looks: holds the sentences, and where its teacher and its nulls look in them."""

    def __init__(
        self, folder: Path, teacher: Bert, data: Corpus | PairCorpus | TaskData, student: Shape, device: str
    ) -> None:
        """`folder`: where the frames go. `student`: the shape that the student will have at the end.

        Raises:
            InheritanceError: the held-out text has no sentence of two words.
        """
        self.folder, self.device, self.pad = folder, device, data.tokenizer.pad_token_id
        self.sentences = held_out_sentences(data, SENTENCES)
        self.keep = self.sentences.counted()
        self.teacher = sentence_attention(teacher, self.sentences, device, self.pad)
        self.nulls = random_student_distances(student, self.teacher.maps, self.sentences, self.keep, self.pad)[
            "divergence"
        ]
        with suppress(OSError, AttentionFramesError):  # a full disk costs the film, not the run
            write_frame_sentences(folder, self.sentences.tokens)
            write_teacher_frame(folder, self.teacher.maps, self.teacher.layers)

    def record(self, student: nn.Module, step: int) -> dict[str, Any]:
        """Keeps the student's attention at `step`; the event that tells its inheritance score, nulls beside it.

        "matched" pairs heads by optimal assignment, "same_place" by number and depth (None where head counts differ);
        each is {"score", "low", "high", "distance", "null"}, as is what random students and shuffled heads score.
        """
        seen = sentence_attention(student, self.sentences, self.device, self.pad)
        apart = head_distances(seen.maps, self.teacher.maps, self.keep)
        in_place = same_place_pairs(seen.layers, self.teacher.layers)
        if in_place is not None and len(in_place) != self.nulls.shape[2]:
            in_place = None  # it still has more heads than it will have, and than its null
        figures: dict[str, ScoreInterval | None] = {
            "matched": self._score(apart, best_pairs(apart.mean(0)), seen.layers, matched=True),
            "same_place": None if in_place is None else self._score(apart, in_place, seen.layers, matched=False),
            "random": random_score(self.nulls, None),
            "shuffled": shuffled_score(apart, self.nulls),
        }
        name = ""
        with suppress(OSError, AttentionFramesError):
            name = write_student_frame(self.folder, step, seen.maps, seen.layers)
        return {
            "kind": "attention",
            "step": step,
            "sentences": len(self.sentences),
            "snapshot": name,
            **{name: figure.to_json() if figure else None for name, figure in figures.items()},
        }

    def _score(self, apart: np.ndarray, pairs: np.ndarray, layers: list[int], *, matched: bool) -> ScoreInterval:
        return inheritance_score(apart, self.nulls, pairs, layers, matched).total
