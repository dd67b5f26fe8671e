"""Optimizers: AdamW for weights that are inherited or fine-tuned; for a fresh model AdamW, or Muon for its matrices.

Muon leaves embedding tables, decoders and vectors to AdamW; both step, save and resume as one. Knows nothing of
training loops and schedules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import nn

from engine.sizing.shape import Shape
from engine.sizing.tensors import tensor_kinds

OPTIMIZERS = ("adamw", "muon")  # for weights that start at random
FUSED_DEVICES = ("cpu", "cuda", "mps")  # devices whose AdamW runs as one kernel
ITERATIONS = 5  # of Newton and Schulz, torch's default


def fresh_optimizer(which: str, student: nn.Module, rate: float, decay: float = 0.01) -> torch.optim.Optimizer:
    """One of OPTIMIZERS for a `student` that inherits no weights: "adamw", or "muon" for its hidden matrices."""
    if which == "adamw":
        return adamw([(student, rate)], decay)
    matrices = [p for p in hidden_matrices(student) if p.requires_grad]
    return CombinedOptimizer(muon(matrices, rate, decay), adamw([(student, rate)], decay, without=matrices))


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
    fused = all(p.device.type in FUSED_DEVICES for group in groups for p in group["params"])
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=fused)


class CombinedOptimizer(torch.optim.Optimizer):
    """Several optimizers of torch's that step, save and resume as one. Their parameters must not overlap."""

    def __init__(self, *parts: torch.optim.Optimizer) -> None:
        self.parts = parts
        super().__init__([group for part in parts for group in part.param_groups], {})
        self._share()

    def _share(self) -> None:
        """Every part works on its own of our groups, and on our state: whoever looks here sees what they see."""
        start = 0
        for part in self.parts:
            end = start + len(part.param_groups)
            part.param_groups, part.state = self.param_groups[start:end], self.state
            start = end

    def step(self, closure: Callable[[], Any] | None = None) -> None:  # type: ignore[override]
        """One step of every part. A closure is not supported."""
        assert closure is None, "the gradients must be there already"
        for part in self.parts:
            part.step()

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """What `state_dict` gave, back in its place."""
        super().load_state_dict(state_dict)
        self._share()


def hidden_matrices(model: nn.Module) -> list[nn.Parameter]:
    """The weights between hidden states: matrices that are neither embedding tables nor a decoder's."""
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    return [
        parameter
        for name, parameter in model.named_parameters()
        if parameter.ndim == 2 and id(parameter) not in tables and not name.endswith("decoder.weight")
    ]


def muon(matrices: list[nn.Parameter], rate: float, decay: float) -> torch.optim.Muon:
    """Muon over `matrices`: momentum, orthogonalised, so that every direction of a matrix learns at one speed.

    (Jordan et al. 2024; scaled as in Liu et al. 2025, arXiv 2502.16982, section 2.2, so that AdamW's learning rates
    and weight decays serve.)
    """
    return torch.optim.Muon(matrices, lr=rate, weight_decay=decay, momentum=0.95, adjust_lr_fn="match_rms_adamw")


def muon_flops(shape: Shape) -> int:
    """FLOPs of one step of `muon` over the hidden matrices of a model of `shape`.

    Each of five iterations multiplies a matrix (m, n), m <= n, with its transpose, that square with itself, and the
    sum with the matrix.
    """
    total = 0
    for entry in tensor_kinds(shape):
        sizes = sorted(int(size.replace(",", "")) for size in entry.formula.split(" x "))
        if len(sizes) == 2 and "table" not in entry.name and "decoder" not in entry.name:
            small, large = sizes
            total += entry.stored * 2 * ITERATIONS * (2 * small**2 * large + small**3)
    return total
