"""Soft targets: learning from the teacher's probabilities."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.learning.losses import at_least_float32, distillation_kl
from engine.learning.optimizers import muon_flops
from engine.methods.base import OPTIMIZERS, Method, fresh_optimizer
from engine.model.bert import Bert, new_bert
from engine.settings.options import option
from engine.sizing.shape import Shape
from engine.sizing.step_flops import BatchShape, forward_flops
from engine.text.masking import Batch


@dataclass(frozen=True)
class SoftTargetsOptions:
    """Options of soft targets."""

    temperature: float = option(
        2.0,
        "Above 1 the teacher's probabilities are flattened, so that unlikely words teach too.",
        least=0.1,
        most=100.0,
    )
    share: float = option(
        0.5,
        "Weight of the soft targets; the rest goes to the masked-LM loss on the true words.",
        least=0.0,
        most=1.0,
        label="weight of soft targets",
    )
    lr: float = option(
        1e-3,
        "Peak learning rate. In English and on few steps take 0.0005: at 0.001 a student of 30,522 words had learned "
        "only the commonest after 1,000 steps.",
        least=1e-7,
        most=1.0,
        label="learning rate",
    )
    optimizer: str = option(
        "adamw",
        "AdamW, or Muon for the hidden matrices, which learns in far fewer steps; each takes longer.",
        choices=OPTIMIZERS,
        advanced=True,
    )


class SoftTargets(Method):
    """Knowledge distillation: the student imitates the probabilities that the teacher gives to every word.

    A fresh student minimises T² · KL(teacher ‖ student) between both models' predictions, softened by the
    temperature T, together with the masked-LM loss. It aligns outputs; nothing inside the model is compared.
    The predictions compared are those at the masked positions.
    """

    name = "soft_targets"
    label = "Soft targets"
    paper = "Hinton et al. 2015, arXiv 1503.02531"
    formula = r"w\,T^2\,\mathrm{KL}\!\left(\sigma(z^T/T)\,\|\,\sigma(z^S/T)\right) + (1-w)\,\mathcal{L}_{\mathrm{MLM}}"
    uses = ("logit", "hard", "task-agnostic")
    Options = SoftTargetsOptions

    options: SoftTargetsOptions

    def prepare(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """Fresh weights."""
        return new_bert(shape, seed)

    def optimizer(self, student: nn.Module) -> torch.optim.Optimizer:
        """AdamW, or Muon beside it."""
        return fresh_optimizer(self.options.optimizer, student, self.options.lr)

    def losses(self, student: nn.Module, teacher: Bert, batch: Batch) -> dict[str, Tensor]:
        """Soft and hard loss over the masked positions."""
        student_logits = at_least_float32(student(batch.ids, batch.visible, positions=batch.positions))  # (n, vocab)
        with torch.no_grad():
            teacher_logits = at_least_float32(teacher(batch.ids, batch.visible, positions=batch.positions))
        share = self.options.share
        return {
            "soft targets": share * distillation_kl(student_logits, teacher_logits, self.options.temperature).mean(),
            "masked-LM": (1 - share) * F.cross_entropy(student_logits, batch.targets),
        }

    def pass_flops(
        self, teacher: Shape, student: Shape, work: BatchShape, step: int, network: nn.Module | None = None
    ) -> int:
        """The student's, and a forward pass of the teacher with logits at the hidden words."""
        return super().pass_flops(teacher, student, work, step) + forward_flops(teacher, work)

    def update_flops(self, teacher: Shape, student: Shape, step: int) -> int:
        """Muon's products."""
        return muon_flops(student) if self.options.optimizer == "muon" else 0
