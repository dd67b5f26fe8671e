"""What a method learns from and what its students are scored on: masked text, unless a method brings a task.

It opens the data, prepares the teacher for it, and scores both models. labelled_task.py is the other one.
"""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor, nn

from engine.learning.masked_lm import masked_lm_score
from engine.learning.score_kind import MASKED_LM, ScoreKind
from engine.model.bert import Bert
from engine.settings.device import Device
from engine.text.corpora import Corpus, TrainingData
from engine.text.masking import Masking
from engine.text.sentence_pairs import PairCorpus, open_text
from engine.text.sources import find_source


class LearningTask:
    """What is learned. Methods share instances freely: they hold no state."""

    name: str = ""  # of a labelled task
    pairs: str = "none"  # the kind of sentence pairs: "sop", "nsp", or "none": rows of text
    score_kind: ScoreKind = MASKED_LM  # what `score` measures
    classes: tuple[str, ...] = ()  # what a student tells apart by a classifier that is kept beside it

    def corpus(self, asked: str, usual: str) -> str:
        """The name of the text to learn from, when `asked` was asked for ("auto": none) and `usual` is the teacher's.

        Raises:
            CorpusError: it is not there.
            ConfigError: the task reads no such text.
        """
        raise NotImplementedError

    def describe(self, corpus: str) -> str:
        """What is learned from, for people, when its text is `corpus`."""
        raise NotImplementedError

    def open_data(self, corpus: str, tokenizer: Any, length: int, rows: int, masking: Masking) -> TrainingData:
        """About `rows` rows of at most `length` tokens to learn from, and what is held out.

        Raises:
            ValueError: (CorpusError, TaskError) it cannot be read.
        """
        raise NotImplementedError

    def fit_teacher(
        self, teacher: Bert, data: TrainingData, seed: int, device: Device
    ) -> Generator[tuple[str, float], None, Any]:
        """The teacher as `losses` and `score` get it, on `device`, where `teacher` is already.

        Whatever takes time before yields what is being done, for people, and the share of it that is done, 0 to 1.
        """
        yield from ()
        return teacher

    def score(self, model: nn.Module, data: TrainingData, device: Device) -> dict[str, float]:
        """How good `model` is on what is held out: "accuracy" (0-1) and "loss" (nats), as `score_kind` says."""
        raise NotImplementedError

    def scored_model(self, bert: Bert, lineage: dict[str, Tensor]) -> nn.Module:
        """What `score` is asked about a finished student: itself, with what of its lineage belongs to it."""
        return bert


@dataclass(frozen=True)
class MaskedText(LearningTask):
    """Hidden words of a corpus, and of sentence pairs whether they belong together."""

    PAIRS: ClassVar[tuple[str, ...]] = ("none", "sop", "nsp")
    pairs: str = "none"

    def corpus(self, asked: str, usual: str) -> str:
        """The asked one, or the teacher's, if it is there."""
        name = usual if asked == "auto" else asked
        find_source(name)
        return name

    def describe(self, corpus: str) -> str:
        """The corpus by its name."""
        return f"the corpus {corpus}"

    def open_data(self, corpus: str, tokenizer: Any, length: int, rows: int, masking: Masking) -> TrainingData:
        """Masked rows, or masked pairs of sentences."""
        return open_text(corpus, tokenizer, length, rows, self.pairs, masking)

    def score(self, model: nn.Module, data: TrainingData, device: Device) -> dict[str, float]:
        """Masked accuracy over the held-out rows."""
        assert isinstance(data, Corpus | PairCorpus)
        return masked_lm_score(model, data, device)
