"""One step's gradients, from a batch that is split between processes and micro-batches."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from engine.methods.base import Method
from engine.settings.device import Device
from engine.text.masking import Batch
from engine.training.processes import Processes


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

    `teacher`: what the method's `guide` gave. The batch is split into `parts`, which the processes take in turn. A
    part's losses are means over its hidden words, so they weigh as much as its share of the batch's hidden words: the
    sum is what the whole batch would have given.
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


def learning(student: nn.Module, device: Device) -> nn.Module:
    """The student on its device, everything in it that can learn learning."""
    for parameter in student.parameters():
        parameter.requires_grad_(parameter.is_floating_point())
    return student.to(device.type).train()
