"""Students that parameters alone do not restore: what a checkpoint keeps beside them, and how it is put back."""

from __future__ import annotations

from typing import Any

from torch import nn


class Stateful:
    """A method whose student is more than `init_student` and the checkpoint's parameters."""

    def state(self, student: nn.Module) -> dict[str, Any]:
        """What a checkpoint needs beside the parameters, as plain values and tensors."""
        raise NotImplementedError

    def restore(self, student: nn.Module, state: dict[str, Any]) -> nn.Module:
        """Puts back what `state` gave: from a student as `init_student` makes it, on the CPU, the one that trained on.

        Its parameters are put into it afterwards.
        """
        raise NotImplementedError


def state_of(method: Any, student: nn.Module) -> dict[str, Any]:
    """What a checkpoint of any method keeps beside the parameters; empty for most."""
    return method.state(student) if isinstance(method, Stateful) else {}


def restored(method: Any, student: nn.Module, state: dict[str, Any]) -> nn.Module:
    """A student fresh from `init_student`, taken to where `state` was saved."""
    return method.restore(student, state) if isinstance(method, Stateful) else student
