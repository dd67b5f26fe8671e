"""The optimizers that methods and fine-tuning learn by. Knows nothing of methods."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from engine.muon import Together, hidden_matrices, muon

OPTIMIZERS = ("adamw", "muon")  # for weights that start at random
FUSED = ("cpu", "cuda", "mps")  # devices whose AdamW runs as one kernel


def fresh_optimizer(which: str, student: nn.Module, rate: float, decay: float = 0.01) -> torch.optim.Optimizer:
    """One of OPTIMIZERS for a `student` that inherits no weights: "adamw", or "muon" for its hidden matrices."""
    if which == "adamw":
        return adamw([(student, rate)], decay)
    matrices = [p for p in hidden_matrices(student) if p.requires_grad]
    return Together(muon(matrices, rate, decay), adamw([(student, rate)], decay, without=matrices))


def adamw(
    parts: list[tuple[nn.Module, float]], decay: float = 0.01, without: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """One AdamW over several (module, learning rate) parts, on the device where their parameters are.

    Parameters `without` which it goes are another optimizer's.
    """
    groups: list[dict[str, Any]] = []
    others = {id(parameter) for parameter in without}
    for module, rate in parts:
        parameters = [p for p in module.parameters() if p.requires_grad and id(p) not in others]
        groups.append({"params": [p for p in parameters if p.ndim > 1], "lr": rate, "weight_decay": decay})
        groups.append({"params": [p for p in parameters if p.ndim <= 1], "lr": rate, "weight_decay": 0.0})
    groups = [group for group in groups if group["params"]]
    # one kernel for all tensors: for a 6x384 student 15 ms a step instead of 110, on one CPU core
    fused = all(p.device.type in FUSED for group in groups for p in group["params"])
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=fused)
