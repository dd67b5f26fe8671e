"""Methods whose student changes shape while it trains, as WID's heir does until it is folded."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from engine.methods.kinds.stateful import Stateful
from engine.sizing.shape import Shape


class ShapeChanging(Stateful):
    """Beside the hooks of Method: when the form changes, what a page can draw of it, and what its phases cost."""

    def next_form(
        self, student: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """After each step: who goes on learning, and by which optimizer; the same ones unless the form changes now."""
        raise NotImplementedError

    def move_end(self, steps: int) -> None:
        """The run will take so many `steps` in all, as it turns out meanwhile: its budget is time."""
        raise NotImplementedError

    def snapshot(self, student: nn.Module, tokens: int, length: int, predicted: int) -> dict[str, Any]:
        """What a page can draw of the student at this moment, as plain values. It may wait for the device.

        A forward pass of the run has `tokens` tokens in rows of `length`, of which `predicted` are hidden.
        """
        raise NotImplementedError

    def cost_phases(self, teacher: Shape, student: Shape) -> list[int]:
        """The steps (from 1, ascending) from which on a step costs something else than the one before it."""
        raise NotImplementedError

    def final_form(self, student: nn.Module) -> nn.Module:
        """What `student`, fresh from `init_student`, trains as in the run's last steps.

        To be timed: of the right size and make, with weights that need not mean anything.
        """
        raise NotImplementedError


def cost_phases(method: Any, teacher: Shape, student: Shape) -> list[int]:
    """The steps (from 1, ascending) from which on a step costs something else; one phase for most methods."""
    return method.cost_phases(teacher, student) if isinstance(method, ShapeChanging) else [1]
