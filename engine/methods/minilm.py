"""MiniLM: the last layer's attention and the relations between its values."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.learning.losses import attention_kl, relation_kl
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
from engine.sizing.shape import Shape, nearest_multiple
from engine.sizing.step_flops import FORWARD_AND_BACKWARD, BatchShape, attention_flops, relation_flops
from engine.text.masking import Batch


@dataclass(frozen=True)
class MinilmOptions:
    """Options of MiniLM."""

    hard: float = masked_lm_weight()
    lr: float = learning_rate()


class Minilm(ImitatesLayers, AttentionDistillation):
    """A fresh student of any depth and width imitates the teacher's last layer alone: where its heads look, and how its
    values relate to one another. Relations are position by position, so the widths need not match; heads must.

    For a much smaller student the paper first makes an assistant, as deep as the teacher and as wide as the student: a
    run of its own, which is then the teacher (run:ID) of a second one.
    """

    about = About(
        name="minilm",
        label="MiniLM",
        paper="Wang et al. 2020, MiniLM: Deep Self-Attention Distillation, arXiv 2002.10957",
        formula=r"\mathrm{KL}\!\left(A^T_{L}\,\|\,A^S_{M}\right) + \mathrm{KL}\!\left("
        r"\sigma\!\left(\tfrac{V^T V^{T\top}}{\sqrt{d_T}}\right)\,\Big\|\,"
        r"\sigma\!\left(\tfrac{V^S V^{S\top}}{\sqrt{d_S}}\right)\right)",
        uses=("feature", "task-agnostic"),
        presets=PRESETS,
        preset_notes=PRESET_NOTES
        | {
            "paper": PRESET_NOTES["paper"] + " The paper's teaching assistant is a chain of two runs: compress to the "
            "assistant, then take that run as the teacher."
        },
    )
    Options = MinilmOptions

    options: MinilmOptions

    def objections(self, teacher: Shape, student: Shape) -> list[str]:
        """Heads are compared one by one."""
        heads = teacher.heads_of(teacher.layers - 1)
        if student.heads == heads:
            return []
        width = nearest_multiple(heads, student.hidden)
        return [
            f"MiniLM compares the last layer's attention head by head, so the student needs its teacher's "
            f"{heads} heads, got {student.heads}; use {heads} heads at hidden {width}, or MiniLMv2."
        ]

    def imitated_layers(self, teacher: Shape, student: Shape) -> dict[int, int]:
        """The last one, of both."""
        return {student.layers: teacher.layers}

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """Which layers meet."""
        return [
            f"Its last layer, {student.layers}, imitates its teacher's last, {teacher.layers}; the others are free."
        ]

    def losses(self, student: nn.Module, teacher: Bert, batch: Batch) -> dict[str, Tensor]:
        """Attention and value relations of the last layers; masked-LM with its weight, so that all takes part."""
        ours: Trace = {"scores": [], "value": []}
        theirs: Trace = {"scores": [], "value": []}
        logits = student(batch.ids, batch.visible, positions=self.head_positions(batch), trace=ours, layers=(-1,))
        with torch.no_grad():
            teacher.trace_layer(batch.ids, batch.visible, teacher.shape.layers - 1, theirs)
        value, heads = theirs["value"][-1], theirs["value"][-1].shape[1]
        return {
            "attention": attention_kl(ours["scores"][-1], theirs["scores"][-1], batch),
            "value relations": relation_kl(ours["value"][-1], value, heads, batch),
            **self.masked_lm_term(logits, batch),
        }

    def pass_flops(
        self, teacher: Shape, student: Shape, work: BatchShape, step: int, network: nn.Module | None = None
    ) -> int:
        """The student's and its values' relations; the teacher up to its last layer's scores and values."""
        ours = self.student_flops(student, work)
        theirs = attention_flops(teacher, work, teacher.layers - 1, scores=True) + relation_flops(teacher.inner, work)
        return FORWARD_AND_BACKWARD * (ours + relation_flops(student.inner, work)) + theirs
