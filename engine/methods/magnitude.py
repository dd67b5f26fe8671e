"""Magnitude pruning: the smallest weights become zero, one by one."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn

from engine.methods.base import About
from engine.methods.kinds.one_shot import OneShot, healing_rate
from engine.model.bert import Bert
from engine.settings.options import option
from engine.sizing.shape import Shape


@dataclass(frozen=True)
class MagnitudeOptions:
    """Options of magnitude pruning."""

    share: float = option(
        0.5, "Share of the weights of the layers' linears that become zero.", least=0.01, most=0.99, label="share zero"
    )
    ranking: str = option(
        "matrix",
        "Every matrix loses the same share of its weights; or all matrices are ranked together.",
        choices=("matrix", "global"),
    )
    lr: float = healing_rate()


class Magnitude(OneShot):
    """The weights nearest to zero become zero, wherever they stand in the layers' matrices; healing steps train the
    others and leave zeros alone. The matrices keep their shape, so neither time nor bytes are saved: what falls is how
    small the file becomes when it is compressed, and how much a program for sparse matrices would have to do.
    """

    about = About(
        name="magnitude",
        label="Magnitude pruning",
        paper="Han et al. 2015, arXiv 1506.02626; on BERT: Gordon et al. 2020, Compressing BERT, arXiv 2002.08307",
        formula=r"W_{ij} \leftarrow W_{ij} \cdot \mathbf{1}\left[\,|W_{ij}| > \tau\,\right]",
        chooses=(),
    )
    Options = MagnitudeOptions

    options: MagnitudeOptions

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """What is not saved."""
        return [
            "Zeros among other weights save no time and no bytes of a dense file. How many there are, and how small "
            "the file becomes when compressed, is measured when the run ends."
        ]

    def init_student(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """A copy of the teacher with the smallest weights at zero."""
        student = super().init_student(teacher, shape, seed)
        weights = matrices(student)
        with torch.no_grad():
            if self.options.ranking == "global":
                edges = [_edge(torch.cat([w.flatten() for w in weights]), self.options.share)] * len(weights)
            else:
                edges = [_edge(weight, self.options.share) for weight in weights]
            for weight, edge in zip(weights, edges, strict=True):
                weight.masked_fill_(weight.abs() <= edge, 0.0)
        return student

    def after_backward(self, student: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> dict[str, float]:
        """Zeros get no gradient: with no moments and nothing to decay, they stay zero."""
        for weight in matrices(student):
            if weight.grad is not None:
                weight.grad.mul_(weight != 0)
        return {}


def matrices(student: nn.Module) -> list[nn.Parameter]:
    """The weights of the layers' linears, factors among them."""
    parts = ("attentions.", "ffns.")
    return [p for name, p in student.named_parameters() if p.ndim == 2 and name.startswith(parts)]


def _edge(weight: torch.Tensor, share: float) -> float:
    """What a `share` of the weights does not exceed in magnitude; -1 where that is none."""
    count = round(share * weight.numel())
    return float(weight.abs().flatten().kthvalue(count).values) if count else -1.0
