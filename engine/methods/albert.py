"""ALBERT: factorised embeddings, layers that share their weights, and sentence order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.learning.losses import at_least_float32, distillation_kl, mean_over_rows
from engine.methods.base import About
from engine.methods.kinds.fresh_student import FreshStudent, learning_rate
from engine.methods.kinds.learning_task import LearningTask, MaskedText
from engine.model.bert import INIT_DEVIATION, Bert, Trace, new_bert
from engine.settings.options import option
from engine.sizing.shape import SHARINGS, Shape
from engine.sizing.step_flops import FORWARD_AND_BACKWARD, BatchShape, forward_flops, pair_head_flops
from engine.text.masking import Batch
from engine.text.sentence_pairs import PairBatch

PAIRS = ("sop", "nsp", "none")


@dataclass(frozen=True)
class AlbertOptions:
    """Options of ALBERT."""

    embedding: int = option(
        0,
        "Embedding size E, below the width: the vocabulary's table has E columns; 0: a sixth of the width, as the "
        "paper's 128 of 768.",
        least=0,
        most=1_000_000,
        label="embedding size",
    )
    sharing: str = option("all", "What all layers of a group share.", choices=SHARINGS)
    groups: int = option(1, "Into how many groups the layers are cut; each shares within itself.", least=1, most=1000)
    pairs: str = option(
        "sop",
        "What is asked of two segments: whether they are in order, whether the second is the first one's next, or "
        "nothing.",
        choices=PAIRS,
        label="sentence pairs",
    )
    soft: float = option(
        0.0,
        "Weight of the teacher's soft targets, the rest goes to masked-LM; 0: pre-training, which needs no teacher.",
        least=0.0,
        most=1.0,
        label="weight of soft targets",
    )
    temperature: float = option(2.0, "Of the soft targets.", least=0.1, most=100.0, advanced=True)
    lr: float = learning_rate()
    deviation: float = option(
        INIT_DEVIATION,
        "Standard deviation of fresh weights. The paper's 0.02 is for widths of hundreds; a student of a few dozen "
        "dims begins to learn sooner with more.",
        least=1e-4,
        most=1.0,
        label="deviation of fresh weights",
        advanced=True,
    )


class Albert(FreshStudent):
    """Pre-training of a student that saves parameters by its build: a narrow embedding table behind a projection, and
    one set of weights for all layers. It learns to fill in words and to tell two sentences in order from two that were
    swapped; it may listen to a teacher besides.
    """

    about = About(
        name="albert",
        label="ALBERT",
        paper="Lan et al. 2019, ALBERT: A Lite BERT for Self-supervised Learning, arXiv 1909.11942",
        formula=r"\mathcal{L}_{\mathrm{MLM}} + \mathcal{L}_{\mathrm{SOP}}",
        uses=("hard", "task-agnostic"),
        presets={
            "paper": {},
            "like BERT": {"sharing": "none", "pairs": "nsp"},
        },
        preset_notes={
            "paper": "Everything is shared, embeddings are factorised, sentence order is learned.",
            "like BERT": "Nothing is shared and next sentences are learned; only the embeddings stay factorised.",
        },
    )
    Options = AlbertOptions

    options: AlbertOptions

    @property
    def task(self) -> LearningTask:
        """Masked text, in pairs of sentences as its options say."""
        return MaskedText(self.options.pairs)

    def student_shape(self, teacher: Shape, wanted: dict[str, Any]) -> Shape:
        """An ALBERT of the chosen layers, width and heads; the pair head only where there are pairs."""
        shape = super().student_shape(teacher, wanted)
        pairs = self.options.pairs != "none"
        return shape.replace(
            family="albert",
            activation="gelu_new",
            embedding=self.options.embedding or max(1, shape.hidden // 6),
            sharing=self.options.sharing,
            groups=self.options.groups,
            token_types=2,
            tied=True,
            pooler=pairs,
            pair_head=pairs,
        )

    def objections(self, teacher: Shape, student: Shape) -> list[str]:
        """Embeddings wider than the student save nothing, and groups are made of layers."""
        problems, options = [], self.options
        if options.embedding > student.hidden:
            problems.append(
                f"ALBERT's embeddings are narrower than its student, {student.hidden} dims wide, got an embedding size "
                f"of {options.embedding:,}; use at most {student.hidden}."
            )
        if options.groups > student.layers:
            problems.append(
                f"Groups are made of whole layers, and the student has {student.layers}, got {options.groups:,} "
                f"groups; use at most {student.layers}."
            )
        return problems

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """What the library's class cannot hold."""
        if self.options.sharing in ("attention", "ffn"):
            return ["The library's ALBERT shares attention and FFN together or not at all: an export copies them."]
        return []

    def init_student(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """Fresh weights."""
        return new_bert(shape, seed, self.options.deviation)

    def losses(self, student: nn.Module, teacher: Bert, batch: Batch) -> dict[str, Tensor]:
        """Masked-LM, with the teacher's word in it if asked for; of pairs, whether they are in order."""
        paired, soft = isinstance(batch, PairBatch), self.options.soft
        trace: Trace = {"pair": []} if paired else {}
        types = batch.types if isinstance(batch, PairBatch) else None
        logits = at_least_float32(student(batch.ids, batch.visible, types, batch.positions, trace))
        terms = {"masked-LM": (1 - soft) * F.cross_entropy(logits, batch.targets)}
        if soft:
            with torch.no_grad():
                theirs = teacher(batch.ids, batch.visible, positions=batch.positions)
            terms["soft targets"] = soft * distillation_kl(logits, theirs, self.options.temperature).mean()
        if isinstance(batch, PairBatch):
            wrong = F.cross_entropy(at_least_float32(trace["pair"][-1]), batch.labels, reduction="none")
            terms["sentence order" if self.options.pairs == "sop" else "next sentence"] = mean_over_rows(wrong, batch)
        return terms

    def pass_flops(
        self, teacher: Shape, student: Shape, work: BatchShape, step: int, network: nn.Module | None = None
    ) -> int:
        """The student's with its pair head; a forward pass of the teacher if it is listened to."""
        ours = FORWARD_AND_BACKWARD * (forward_flops(student, work) + pair_head_flops(student, work.rows))
        return ours + (forward_flops(teacher, work) if self.options.soft else 0)
