"""TinyBERT, its general distillation: hidden states and attention scores, layer by layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from engine.learning.losses import attention_score_mse, hidden_state_mse, positions_needed, weighted_masked_lm_loss
from engine.methods.base import Method
from engine.methods.options import PRESET_NOTES, PRESETS, masked_lm_weight
from engine.model.bert import Bert, Trace, new_bert
from engine.settings.options import option
from engine.sizing.shape import Shape, nearest_divisors, nearest_multiple
from engine.sizing.step_flops import FORWARD_AND_BACKWARD, BatchShape, encoder_flops, forward_flops, linear_flops
from engine.text.masking import Batch


@dataclass(frozen=True)
class TinybertOptions:
    """Options of TinyBERT's general distillation."""

    attention: float = option(1.0, "Weight of the attention scores.", least=0.0, most=1e3, label="weight of attention")
    states: float = option(1.0, "Weight of the hidden states.", least=0.0, most=1e3, label="weight of hidden states")
    hard: float = masked_lm_weight()
    lr: float = option(1e-3, "Peak learning rate.", least=1e-7, most=1.0, label="learning rate")


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


class Tinybert(Method):
    """A fresh student of any width imitates its teacher's inside, layer by layer: the attention scores of every head
    before the softmax, and the hidden states behind a matrix that both learn with it. Student layer m imitates teacher
    layer m · L_T / L_S, and the embeddings imitate the embeddings.
    """

    name = "tinybert"
    label = "TinyBERT (general)"
    paper = "Jiao et al. 2019, TinyBERT: Distilling BERT for Natural Language Understanding, arXiv 1909.10351"
    formula = (
        r"\sum_{m=1}^{L_S} \mathrm{MSE}\!\left(A^S_m, A^T_{g(m)}\right) + \sum_{m=0}^{L_S} "
        r"\mathrm{MSE}\!\left(H^S_m W, H^T_{g(m)}\right)"
    )
    uses = ("feature", "task-agnostic")  # Table 1 of WID's paper ticks logits, too; TinyBERT's has them on a task only
    Options = TinybertOptions
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS
    preset_notes: ClassVar[dict[str, str]] = PRESET_NOTES

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

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """Which layers meet."""
        apart = teacher.layers // student.layers
        theirs = ", ".join(str(apart * (layer + 1)) for layer in range(student.layers))
        ours = "layer 1 imitates" if student.layers == 1 else f"layers 1 to {student.layers} imitate"
        return [f"Its {ours} its teacher's {theirs}; its embeddings imitate the embeddings."]

    def prepare(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """Fresh weights and a matrix to the teacher's width."""
        return Projected(new_bert(shape, seed), teacher.shape.hidden, seed)

    def losses(self, student: nn.Module, teacher: Bert, batch: Batch) -> dict[str, Tensor]:
        """Scores and states of the mapped layers; masked-LM with its weight, so that every parameter takes part."""
        ours: Trace = {"scores": [], "hidden": [], "projected": []}
        theirs: Trace = {"scores": [], "hidden": []}
        hard = self.options.hard
        logits = student(batch.ids, batch.visible, positions=positions_needed(hard, batch), trace=ours)
        layers = len(ours["scores"])
        apart = teacher.shape.layers // layers
        mapped = range(apart - 1, teacher.shape.layers, apart)  # the others' attention need not be kept, or spelled out
        with torch.no_grad():
            teacher.encode(batch.ids, batch.visible, trace=theirs, layers=mapped)
        scores = [attention_score_mse(ours["scores"][m], theirs["scores"][m], batch) for m in range(layers)]
        states = [hidden_state_mse(ours["projected"][m], theirs["hidden"][m * apart], batch) for m in range(layers + 1)]
        return {
            "attention scores": self.options.attention * torch.stack(scores).sum(),
            "hidden states": self.options.states * torch.stack(states).sum(),
            "masked-LM": weighted_masked_lm_loss(hard, logits, batch.targets),
        }

    def pass_flops(
        self, teacher: Shape, student: Shape, work: BatchShape, step: int, network: nn.Module | None = None
    ) -> int:
        """The student's with its states taken to the teacher's width, layer by layer; the teacher without a head."""
        ours = forward_flops(student, work) if self.options.hard else encoder_flops(student, work)
        widened = (student.layers + 1) * linear_flops(work.tokens, student.hidden, teacher.hidden)
        return FORWARD_AND_BACKWARD * (ours + widened) + encoder_flops(teacher, work)

    def finish(self, student: nn.Module) -> Bert:
        """The student without the matrix."""
        assert isinstance(student, Projected)
        return student.bert
