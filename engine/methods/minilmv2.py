"""MiniLMv2: relations between queries, between keys and between values of one layer."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.learning.losses import relation_kl
from engine.methods.base import About
from engine.methods.kinds.attention_distillation import (
    PRESET_NOTES,
    PRESETS,
    AttentionDistillation,
    masked_lm_weight,
)
from engine.methods.kinds.fresh_student import learning_rate
from engine.methods.kinds.layer_map import ImitatesLayers
from engine.model.bert import Bert, Trace
from engine.settings.options import option
from engine.sizing.shape import Shape
from engine.sizing.step_flops import FORWARD_AND_BACKWARD, BatchShape, attention_flops, relation_flops
from engine.text.masking import Batch

RELATED = ("query", "key", "value")


@dataclass(frozen=True)
class Minilmv2Options:
    """Options of MiniLMv2."""

    relation_heads: int = option(
        0,
        "Into how many heads both models' queries, keys and values are cut anew; 0: the most, up to the paper's 48, "
        "that divide both widths.",
        least=0,
        most=10_000,
        label="relation heads",
    )
    teacher_layer: int = option(
        0,
        "Which of the teacher's layers is imitated, from 1; 0: the last (the paper takes the 21st of BERT-large's 24).",
        least=0,
        most=10_000,
        label="teacher layer",
    )
    hard: float = masked_lm_weight()
    lr: float = learning_rate()


class Minilmv2(ImitatesLayers, AttentionDistillation):
    """A fresh student imitates, in its last layer, how one teacher layer's queries relate to one another, its keys, and
    its values. All heads are joined and cut anew into relation heads, so the two may have different numbers of heads.
    """

    about = About(
        name="minilmv2",
        label="MiniLMv2",
        paper="Wang et al. 2020, MiniLMv2: Multi-Head Self-Attention Relation Distillation, arXiv 2012.15828",
        formula=r"\sum_{X \in \{Q, K, V\}} \mathrm{KL}\!\left("
        r"\sigma\!\left(\tfrac{X^T X^{T\top}}{\sqrt{d_r}}\right)\,\Big\|\,"
        r"\sigma\!\left(\tfrac{X^S X^{S\top}}{\sqrt{d'_r}}\right)\right)",
        uses=("feature", "task-agnostic"),
        presets=PRESETS,
        preset_notes=PRESET_NOTES,
    )
    Options = Minilmv2Options

    options: Minilmv2Options

    def heads(self, teacher_width: int, student_width: int) -> int:
        """How many relation heads there are, for queries of these widths."""
        common = math.gcd(teacher_width, student_width)
        return self.options.relation_heads or max(d for d in range(1, 49) if common % d == 0)

    def _wide(self, teacher: Shape) -> int:
        """The width of the queries of the teacher's layer that is imitated; its layers may differ."""
        return teacher.inner_of(min(self.options.teacher_layer or teacher.layers, teacher.layers) - 1)

    def objections(self, teacher: Shape, student: Shape) -> list[str]:
        """Relation heads must divide both widths; the layer must exist."""
        wide = self._wide(teacher)
        problems, heads = [], self.heads(wide, student.inner)
        common = math.gcd(wide, student.inner)
        if common % heads:
            legal = [str(d) for d in range(1, min(common, 256) + 1) if common % d == 0]
            problems.append(
                f"Relation heads must divide queries of {wide} and {student.inner}, got {heads}; use "
                f"one of {', '.join(legal[:12])}."
            )
        if self.options.teacher_layer > teacher.layers:
            problems.append(f"The teacher has {teacher.layers} layers, got teacher layer {self.options.teacher_layer}.")
        return problems

    def imitated_layers(self, teacher: Shape, student: Shape) -> dict[int, int]:
        """The student's last layer, and one of the teacher's."""
        return {student.layers: self.options.teacher_layer or teacher.layers}

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """The numbers that follow from the shapes."""
        layer = self.imitated_layers(teacher, student)[student.layers]
        heads = self.heads(self._wide(teacher), student.inner)
        return [f"It imitates the teacher's layer {layer} in {heads} relation heads."]

    def losses(self, student: nn.Module, teacher: Bert, batch: Batch) -> dict[str, Tensor]:
        """The three relations; masked-LM with its weight, so that every parameter takes part."""
        ours: Trace = {name: [] for name in RELATED}
        theirs: Trace = {name: [] for name in RELATED}
        logits = student(batch.ids, batch.visible, positions=self.head_positions(batch), trace=ours, layers=(-1,))
        with torch.no_grad():
            teacher.trace_layer(
                batch.ids, batch.visible, (self.options.teacher_layer or teacher.shape.layers) - 1, theirs
            )
        heads = self.heads(*(trace["query"][-1].shape[1] * trace["query"][-1].shape[3] for trace in (theirs, ours)))
        terms = {f"{name} relations": relation_kl(ours[name][-1], theirs[name][-1], heads, batch) for name in RELATED}
        return {**terms, **self.masked_lm_term(logits, batch)}

    def pass_flops(
        self, teacher: Shape, student: Shape, work: BatchShape, step: int, network: nn.Module | None = None
    ) -> int:
        """The student's and its three relations; the teacher up to the queries, keys and values of its one layer."""
        ours = self.student_flops(student, work)
        related = [len(RELATED) * relation_flops(shape.inner, work) for shape in (student, teacher)]
        layer = (self.options.teacher_layer or teacher.layers) - 1
        return (
            FORWARD_AND_BACKWARD * (ours + related[0])
            + related[1]
            + attention_flops(teacher, work, layer, scores=False)
        )
