"""TinyBERT, its general distillation: hidden states and attention scores, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.learning.losses import attention_score_mse, hidden_state_mse
from engine.methods.base import About
from engine.methods.kinds.attention_distillation import (
    PRESET_NOTES,
    PRESETS,
    AttentionDistillation,
    masked_lm_weight,
)
from engine.methods.kinds.fresh_student import learning_rate
from engine.methods.kinds.layer_map import ImitatesLayers
from engine.model.bert import Bert, Trace, new_bert
from engine.settings.options import option
from engine.sizing.shape import Shape, nearest_divisors, nearest_multiple
from engine.sizing.step_flops import FORWARD_AND_BACKWARD, BatchShape, encoder_flops, linear_flops
from engine.text.masking import Batch


@dataclass(frozen=True)
class TinybertOptions:
    """Options of TinyBERT's general distillation."""

    attention: float = option(1.0, "Weight of the attention scores.", least=0.0, most=1e3, label="weight of attention")
    states: float = option(1.0, "Weight of the hidden states.", least=0.0, most=1e3, label="weight of hidden states")
    hard: float = masked_lm_weight()
    lr: float = learning_rate()


class Projected(nn.Module):
    """A student BERT with the matrix that takes its hidden states to the teacher's width."""

    def __init__(self, bert: Bert, wide: int, seed: int) -> None:
        super().__init__()
        self.bert, self.projection = bert, nn.Linear(bert.shape.hidden, wide, bias=False)
        generator = torch.Generator().manual_seed(seed + 1)
        with torch.no_grad():
            self.projection.weight.normal_(0.0, bert.shape.hidden**-0.5, generator=generator)

    def forward(self, *args: Any, trace: Trace | None = None, **kwargs: Any) -> Tensor:
        """As Bert.forward; "projected" in `trace` gets the hidden states, (batch, pos, teacher's hidden) each."""
        if trace is None:
            return self.bert(*args, **kwargs)
        logits = self.bert(*args, trace=trace, **kwargs)
        trace["projected"] += [self.projection(hidden) for hidden in trace["hidden"]]
        return logits


class Tinybert(ImitatesLayers, AttentionDistillation):
    """A fresh student of any width imitates its teacher's inside, layer by layer: the attention scores of every head
    before the softmax, and the hidden states behind a matrix that both learn with it. Student layer m imitates teacher
    layer m · L_T / L_S, and the embeddings imitate the embeddings.
    """

    about = About(
        name="tinybert",
        label="TinyBERT (general)",
        paper="Jiao et al. 2019, TinyBERT: Distilling BERT for Natural Language Understanding, arXiv 1909.10351",
        formula=r"\sum_{m=1}^{L_S} \mathrm{MSE}\!\left(A^S_m, A^T_{g(m)}\right) + \sum_{m=0}^{L_S} "
        r"\mathrm{MSE}\!\left(H^S_m W, H^T_{g(m)}\right)",
        uses=("feature", "task-agnostic"),  # WID's Table 1 ticks logits, too; TinyBERT's has them on a task only
        presets=PRESETS,
        preset_notes=PRESET_NOTES,
    )
    Options = TinybertOptions

    options: TinybertOptions

    def objections(self, teacher: Shape, student: Shape) -> list[str]:
        """Heads are compared one by one, and student layers must map onto teacher layers."""
        problems = []
        if teacher.layer_heads:
            problems.append(
                "TinyBERT compares attention head by head, and this teacher's layers have different numbers of heads; "
                "choose another teacher, or MiniLMv2."
            )
        elif student.heads != teacher.heads:
            width = nearest_multiple(teacher.heads, student.hidden)
            problems.append(
                f"TinyBERT compares attention head by head, so the student needs its teacher's {teacher.heads} heads, "
                f"got {student.heads}; use {teacher.heads} heads at hidden {width}."
            )
        if student.layers > teacher.layers or teacher.layers % student.layers:
            near = nearest_divisors(teacher.layers, student.layers)
            problems.append(
                f"Every student layer imitates every k-th of the teacher's {teacher.layers} layers, so their number "
                f"must divide it, got {student.layers}; use {' or '.join(map(str, near))} layers."
            )
        return problems

    def imitated_layers(self, teacher: Shape, student: Shape) -> dict[int, int]:
        """Layer m imitates layer m L_T / L_S (the paper's uniform mapping); embeddings imitate embeddings besides."""
        return dict(enumerate(_uniform(teacher.layers, student.layers), start=1))

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """Which layers meet."""
        theirs = ", ".join(map(str, self.imitated_layers(teacher, student).values()))
        ours = "layer 1 imitates" if student.layers == 1 else f"layers 1 to {student.layers} imitate"
        return [f"Its {ours} its teacher's {theirs}; its embeddings imitate the embeddings."]

    def init_student(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """Fresh weights and a matrix to the teacher's width."""
        return Projected(new_bert(shape, seed), teacher.shape.hidden, seed)

    def losses(self, student: nn.Module, teacher: Bert, batch: Batch) -> dict[str, Tensor]:
        """Scores and states of the mapped layers; masked-LM with its weight, so that every parameter takes part."""
        ours: Trace = {"scores": [], "hidden": [], "projected": []}
        theirs: Trace = {"scores": [], "hidden": []}
        logits = student(batch.ids, batch.visible, positions=self.head_positions(batch), trace=ours)
        mapped = _uniform(teacher.shape.layers, len(ours["scores"]))
        with torch.no_grad():  # the other layers' attention need not be kept, or spelled out
            teacher.encode(batch.ids, batch.visible, trace=theirs, layers=[layer - 1 for layer in mapped])
        scores = [
            attention_score_mse(own, imitated, batch)
            for own, imitated in zip(ours["scores"], theirs["scores"], strict=True)
        ]
        states = [  # of the embeddings, and of every layer
            hidden_state_mse(own, theirs["hidden"][layer], batch)
            for own, layer in zip(ours["projected"], [0, *mapped], strict=True)
        ]
        return {
            "attention scores": self.options.attention * torch.stack(scores).sum(),
            "hidden states": self.options.states * torch.stack(states).sum(),
            **self.masked_lm_term(logits, batch),
        }

    def pass_flops(
        self, teacher: Shape, student: Shape, work: BatchShape, step: int, network: nn.Module | None = None
    ) -> int:
        """The student's with its states taken to the teacher's width, layer by layer; the teacher without a head."""
        ours = self.student_flops(student, work)
        widened = (student.layers + 1) * linear_flops(work.tokens, student.hidden, teacher.hidden)
        return FORWARD_AND_BACKWARD * (ours + widened) + encoder_flops(teacher, work)

    def finish(self, student: nn.Module) -> Bert:
        """The student without the matrix."""
        assert isinstance(student, Projected)
        return student.bert


def _uniform(teacher_layers: int, student_layers: int) -> list[int]:
    """The teacher layer, from 1, that each student layer imitates: every k-th (TinyBERT, section 3.1, g(m) = m k)."""
    apart = teacher_layers // student_layers
    return [apart * layer for layer in range(1, student_layers + 1)]
