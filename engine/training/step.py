"""One training step, written once: the loop takes it; a budget's trial and the benches time it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.methods.base import Method
from engine.methods.kinds.shape_changing import ShapeChanging
from engine.settings.device import Device
from engine.sizing.step_flops import BatchShape
from engine.text.masking import Batch
from engine.training.processes import Processes


@dataclass
class Learner:
    """A student that learns by its method, with all that a step needs."""

    method: Method
    student: nn.Module  # on the device; a step may put another one in its place
    optimizer: torch.optim.Optimizer
    teacher: Any  # what the method's task made of the teacher
    device: Device
    processes: Processes

    def step(
        self, batch: Batch, parts: list[Batch], step: int, *, clip: float = 1.0, rate: float = 1.0
    ) -> tuple[dict[str, Tensor], dict[str, float]]:
        """Takes `step` (from 1) on `batch`, which lies on the CPU, in its `parts`.

        `clip`: the largest gradient norm. `rate`: the share of the optimizer's own learning rates. Returns this
        process's addends of the batch's losses, scalars on the device, and the numbers that the method charts. No
        device sync beyond what the method does.
        """
        losses = backward(self.method, self.student, self.teacher, batch, parts, self.device, self.processes)
        nn.utils.clip_grad_norm_(self.student.parameters(), clip)  # first: the method's own gradients are not clipped
        numbers = self.method.after_backward(self.student, self.optimizer, step)
        for group in self.optimizer.param_groups:
            peak = group.setdefault("peak_lr", group["lr"])
            group["lr"] = peak * rate
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)  # now and not later: the next forward pass needs the memory
        if isinstance(self.method, ShapeChanging):
            self.student, self.optimizer = self.method.next_form(self.student, self.optimizer)
        return losses, numbers


def backward(
    method: Method,
    student: nn.Module,
    teacher: Any,
    batch: Batch,
    parts: list[Batch],
    device: Device,
    processes: Processes,
) -> dict[str, Tensor]:
    """Puts the gradients of the batch's losses into the student; this process's addends of those losses.

    The batch is split into `parts`, which the processes take in turn. A part's losses are means over its hidden words,
    so they weigh as much as its share of the batch's hidden words: the sum is what the whole batch would have given.
    """
    addends: dict[str, Tensor] = {}
    ours = parts[processes.rank :: processes.size]
    for part in ours:
        share = len(part.targets) / max(1, len(batch.targets))
        with processes.forward(student, last=part is ours[-1]) as network:
            with device.autocast():
                losses = method.losses(network, teacher, part.to(device.type))
            total = torch.stack(list(losses.values())).sum() * share
            (total * processes.size).backward()  # the processes' gradients are averaged, and should be added
        for name, value in losses.items():
            addend = value.detach() * share if share else torch.zeros_like(value)  # the mean of nothing is no number
            addends[name] = addends[name] + addend if name in addends else addend
    return addends


def trainable(student: nn.Module, device: Device) -> nn.Module:
    """The student on its device, everything in it that can learn learning."""
    for parameter in student.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return student.to(device.type).train()


def work_of(parts: list[Batch]) -> list[BatchShape]:
    """What each forward pass of a step looks at, for counting its FLOPs."""
    return [BatchShape(len(part.ids), part.ids.shape[1], len(part.targets)) for part in parts]
