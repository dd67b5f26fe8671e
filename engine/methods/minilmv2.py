"""MiniLMv2: relations between queries, between keys and between values of one layer."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.bert import Bert, Trace, new_bert
from engine.config import option
from engine.head_options import PRESET_NOTES, PRESETS, masked_lm_weight
from engine.losses import relation_divergence
from engine.masking import Batch
from engine.methods.base import Method
from engine.shape import Shape

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
    lr: float = option(1e-3, "Peak learning rate.", least=1e-7, most=1.0, label="learning rate")


class Minilmv2(Method):
    """A fresh student imitates, in its last layer, how one teacher layer's queries relate to one another, its keys, and
    its values. All heads are joined and cut anew into relation heads, so the two may have different numbers of heads.
    """

    name = "minilmv2"
    label = "MiniLMv2"
    paper = "Wang et al. 2020, MiniLMv2: Multi-Head Self-Attention Relation Distillation, arXiv 2012.15828"
    formula = (
        r"\sum_{X \in \{Q, K, V\}} \mathrm{KL}\!\left(\sigma\!\left(\tfrac{X^T X^{T\top}}{\sqrt{d_r}}\right)\,\Big\|\,"
        r"\sigma\!\left(\tfrac{X^S X^{S\top}}{\sqrt{d'_r}}\right)\right)"
    )
    uses = ("feature", "task-agnostic")
    Options = Minilmv2Options
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS
    preset_notes: ClassVar[dict[str, str]] = PRESET_NOTES

    options: Minilmv2Options

    def heads(self, teacher_width: int, student_width: int) -> int:
        """How many relation heads there are, for queries of these widths."""
        common = math.gcd(teacher_width, student_width)
        return self.options.relation_heads or max(d for d in range(1, 49) if common % d == 0)

    def objections(self, teacher: Shape, student: Shape) -> list[str]:
        """Relation heads must divide both widths; the layer must exist."""
        problems, heads = [], self.heads(teacher.inner, student.inner)
        common = math.gcd(teacher.inner, student.inner)
        if common % heads:
            legal = [str(d) for d in range(1, min(common, 256) + 1) if common % d == 0]
            problems.append(
                f"Relation heads must divide queries as wide as {teacher.inner} and {student.inner}, got {heads}; use "
                f"one of {', '.join(legal[:12])}."
            )
        if self.options.teacher_layer > teacher.layers:
            problems.append(f"The teacher has {teacher.layers} layers, got teacher layer {self.options.teacher_layer}.")
        return problems

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """The numbers that follow from the shapes."""
        layer = self.options.teacher_layer or teacher.layers
        return [
            f"It imitates the teacher's layer {layer} in {self.heads(teacher.inner, student.inner)} relation heads."
        ]

    def prepare(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """Fresh weights."""
        return new_bert(shape, seed)

    def losses(self, student: nn.Module, teacher: Bert, batch: Batch) -> dict[str, Tensor]:
        """The three relations; masked-LM with its weight, so that every parameter takes part."""
        ours: Trace = {name: [] for name in RELATED}
        theirs: Trace = {name: [] for name in RELATED}
        logits = student(batch.ids, batch.visible, positions=batch.positions, trace=ours).float()
        with torch.no_grad():
            teacher.encode(batch.ids, batch.visible, trace=theirs)
        layer = (self.options.teacher_layer or len(theirs["query"])) - 1
        heads = self.heads(*(trace["query"][-1].shape[1] * trace["query"][-1].shape[3] for trace in (theirs, ours)))
        terms = {
            f"{name} relations": relation_divergence(ours[name][-1], theirs[name][layer], heads, batch)
            for name in RELATED
        }
        return {**terms, "masked-LM": self.options.hard * F.cross_entropy(logits, batch.targets)}
