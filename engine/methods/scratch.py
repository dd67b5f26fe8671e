"""From scratch: the student that inherits nothing."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from engine.learning.optimizers import muon_flops
from engine.methods.base import OPTIMIZERS, Method, fresh_optimizer
from engine.model.bert import Bert, new_bert
from engine.settings.options import option
from engine.sizing.shape import Shape


@dataclass(frozen=True)
class ScratchOptions:
    """Options of training from scratch."""

    lr: float = option(1e-3, "Peak learning rate.", least=1e-7, most=1.0, label="learning rate")
    optimizer: str = option(
        "adamw",
        "AdamW, or Muon for the hidden matrices, which learns in far fewer steps; each takes longer.",
        choices=OPTIMIZERS,
        advanced=True,
    )


class Scratch(Method):
    """Training from scratch: random weights, masked-LM loss, no teacher.

    The yardstick. Whatever a compression method gains, it gains over this: the same shape, the same text in the
    same order, the same number of steps, and nobody to learn from.
    """

    name = "scratch"
    label = "From scratch"
    paper = "Devlin et al. 2018, arXiv 1810.04805"
    Options = ScratchOptions

    options: ScratchOptions

    def prepare(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """Fresh weights."""
        return new_bert(shape, seed)

    def optimizer(self, student: nn.Module) -> torch.optim.Optimizer:
        """AdamW, or Muon beside it."""
        return fresh_optimizer(self.options.optimizer, student, self.options.lr)

    def update_flops(self, teacher: Shape, student: Shape, step: int) -> int:
        """Muon's products."""
        return muon_flops(student) if self.options.optimizer == "muon" else 0
