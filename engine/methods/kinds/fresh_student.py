"""Methods whose student starts from random weights: how it begins, and by which optimizer it learns."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engine.learning.optimizers import OPTIMIZERS, fresh_optimizer, muon_flops
from engine.methods.base import Method
from engine.model.bert import Bert, new_bert
from engine.settings.options import option
from engine.sizing.shape import Shape


def learning_rate() -> Any:
    """The field `lr` of a method's options, at the rate that suits fresh weights."""
    return option(1e-3, "Peak learning rate.", least=1e-7, most=1.0, label="learning rate")


def optimizer_choice() -> Any:
    """The field `optimizer` of a method's options."""
    return option(
        "adamw",
        "AdamW, or Muon for the hidden matrices, which learns in far fewer steps; each takes longer.",
        choices=OPTIMIZERS,
        advanced=True,
    )


class FreshStudent(Method):
    """A student of fresh weights. Its options have `lr`, and `optimizer` where a person may choose one."""

    def init_student(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """Fresh weights."""
        return new_bert(shape, seed)

    def optimizer(self, student: nn.Module) -> torch.optim.Optimizer:
        """AdamW, or Muon beside it."""
        return fresh_optimizer(self._optimizer_name, student, self.options.lr)

    def update_flops(self, teacher: Shape, student: Shape, step: int) -> int:
        """Muon's products."""
        return muon_flops(student) if self._optimizer_name == "muon" else 0

    @property
    def _optimizer_name(self) -> str:
        return getattr(self.options, "optimizer", "adamw")
