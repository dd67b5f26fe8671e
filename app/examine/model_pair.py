"""A student and its teacher as the examine page has them loaded, and what several of its tabs compute of both."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from app.session import caches
from engine.model.layer_choice import choose_layers
from engine.sizing.cost import multiply_adds
from engine.text.masking import MASKED_SHARE

if TYPE_CHECKING:
    from engine.model.bert import Bert
    from engine.model.saved_models import Model

ROWS = 64  # of held-out text that measures are taken over
LEAST_RANKING_ROWS, MOST_RANKING_ROWS = 16, 128  # rows on which heads are ranked
MOST_RANKING_WORK = 1.6e12  # multiply-adds of a whole pass for each head, which is more than is computed: half a minute


@dataclass(frozen=True)
class ModelPair:
    """A student, its teacher, and by what names results about them are kept."""

    teacher: Model
    student: Model
    teacher_key: str
    student_key: str

    @property
    def models(self) -> dict[str, Model]:
        """Both, by the names that the page gives them."""
        return {"Teacher": self.teacher, "Student": self.student}

    def result_key(self, role: str) -> str:
        """The name of "Teacher" or "Student" in the keys of results."""
        return self.teacher_key if role == "Teacher" else self.student_key

    @property
    def corpus(self) -> str:
        """The text that the student learned from, or its teacher did."""
        return str(self.student.card.get("corpus") or "microworld")

    @property
    def length(self) -> int:
        """The longest row of that text, in tokens."""
        return int(self.student.card.get("length") or 64)

    @property
    def same_vocabulary(self) -> bool:
        """Whether both cut text into the same tokens, so that the same positions can be compared."""

        def make() -> bool:
            return bool(self.teacher.tokenizer.get_vocab() == self.student.tokenizer.get_vocab())

        return bool(caches.compute_once(("alike", self.teacher_key, self.student_key), make))

    def layer_map(self) -> list[int]:
        """The teacher's layer (from 0) for each of the student's: the one it came from, or at the same depth."""
        have, want = self.teacher.bert.shape.layers, self.student.bert.shape.layers
        options = self.student.card.get("options") or {}
        if want == have:
            return list(range(have))
        if want < have and "layers_from" in options:
            which, listed = str(options["layers_from"]), str(options.get("layer_list", ""))
            chosen, problems = choose_layers(have, want, which, listed)
            if not problems:
                return chosen
        return [max(0, round((layer + 1) * have / want) - 1) for layer in range(want)]

    def held_out_rows(self, count: int = ROWS) -> np.ndarray:
        """(row, pos) token ids: `count` rows of held-out text of the corpus that the student learned from.

        Raises:
            CorpusError: it is not on this machine.
        """
        length = min(self.length, *(model.bert.shape.positions for model in self.models.values()))

        def make() -> np.ndarray:
            from engine.learning.held_out import held_out_rows

            return held_out_rows(self.corpus, self.student.tokenizer, length, count)

        return caches.compute_once(("rows", self.student_key, length, count), make)

    @property
    def ranking_rows(self) -> int:
        """On how many held-out rows all heads are ranked: as many as take seconds, not minutes."""
        shapes = [model.bert.shape for model in self.models.values()]
        length = self.length
        row = max(
            multiply_adds(shape, length, round(MASKED_SHARE * length)) * shape.layers * shape.heads for shape in shapes
        )
        return int(np.clip(MOST_RANKING_WORK / row, LEAST_RANKING_ROWS, MOST_RANKING_ROWS))

    def hidden_states(self, role: str) -> np.ndarray:
        """(layer + 1, token, hidden) of "Teacher" or "Student" over `held_out_rows`."""

        def make() -> np.ndarray:
            from engine.learning.held_out import hidden_states

            return hidden_states(self.copy_of(role), self.held_out_rows(), self.pad_token_id)

        return caches.compute_once(("hidden", self.result_key(role), self.student_key), make)

    def damage(self, role: str, how: str, progress: Callable[[float], None]) -> Any:
        """`head_ablation.damage` of "Teacher" or "Student" over `ranking_rows` rows, kept once it is computed."""

        def make() -> Any:
            from engine.inspection.head_ablation import ablate_heads
            from engine.learning.held_out import masked_batches

            batches = masked_batches(self.held_out_rows(self.ranking_rows), self.student.tokenizer)
            return ablate_heads(self.copy_of(role), batches, how, progress)

        return caches.compute_once(self.damage_key(role, how), make)

    def damage_key(self, role: str, how: str) -> tuple[str, ...]:
        """Under which key `damage` is kept."""
        return ("damage", self.result_key(role), self.student_key, how)

    def copy_of(self, role: str) -> Bert:
        """A copy of a model that no other session changes meanwhile."""
        return copy.deepcopy(self.models[role].bert)

    @property
    def pad_token_id(self) -> int:
        """The token that fills rows."""
        return int(self.student.tokenizer.pad_token_id)
