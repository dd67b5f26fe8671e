"""How closing vectors reach zero: on a straight line, or by the penalty of the authors' release.

Called between backward and the optimizer's step, without gradients. Which vectors close, and when, is for
engine/compactors/cut_schedule.py to say.
"""

from __future__ import annotations

import torch
from torch import Tensor

from engine.compactors.groups import DimGroup, GroupMember
from engine.compactors.heir import Heir

# Of an identity's entry. Adam leaves penalised vectors swinging around zero, a few learning rates wide; from here on a
# straight line ends it.
NEARLY_ZERO = 0.1


def decay_linearly(student: Heir, group: DimGroup, optimizer: torch.optim.Optimizer) -> None:
    """One step of a straight line to zero, and at its end out of the matrices."""
    for member in group.members:
        closing = _closing(group, member)
        vectors = member.parameter.index_select(member.axis, closing)
        member.parameter.index_copy_(member.axis, closing, vectors * ((group.steps_to_zero - 1) / group.steps_to_zero))
    group.steps_to_zero -= 1
    if not group.steps_to_zero:
        student.shrink(group, optimizer)


def freeze_closing(group: DimGroup, optimizer: torch.optim.Optimizer) -> None:
    """Vectors on the straight line learn nothing: neither the gradient nor the optimizer's memory moves them."""
    for member in group.members:
        parameter = member.parameter
        moments = optimizer.state.get(parameter, {})
        for tensor in (parameter.grad, moments.get("exp_avg"), moments.get("exp_avg_sq")):
            if tensor is not None:
                tensor.index_fill_(member.axis, _closing(group, member), 0.0)


def add_l2_gradient(group: DimGroup) -> None:
    """The release's first interval: before anything is chosen, every compactor is pulled by its own value."""
    for member in group.members:
        if member.parameter.ndim == 2 and member.parameter.grad is not None:
            member.parameter.grad.add_(member.parameter)


def penalise_closing(group: DimGroup, optimizer: torch.optim.Optimizer, penalty: float) -> None:
    """The release's rule for closing vectors: no task gradient, min(lambda, 1) x theta as the gradient instead, and
    (lambda - 1) x theta blended with weight 0.1 into Adam's first moment. Blending scales the moment of the vectors
    that stay by 0.9 too, at every step; that is how the release is written. The biases of the linears that put out
    closing dims are treated alike.
    """
    gone = torch.ones(group.full, dtype=torch.bool)
    gone[group.dims[~group.closing]] = False
    pairs = [(member, _closing(group, member)) for member in group.members]
    pairs += [(member, gone.nonzero().squeeze(1).to(member.parameter.device)) for member in group.biases]
    for member, places in pairs:
        parameter = member.parameter
        vectors = parameter.index_select(member.axis, places)
        if parameter.grad is not None:
            parameter.grad.index_copy_(member.axis, places, min(penalty, 1.0) * vectors)
        first = optimizer.state.get(parameter, {}).get("exp_avg")
        if first is not None and penalty > 1:
            first.mul_(0.9).index_add_(member.axis, places, vectors, alpha=0.1 * (penalty - 1))


def nearly_zero(group: DimGroup) -> bool:
    """Whether every entry of the closing compactor vectors is close to zero. Waits for the device.

    LayerNorm entries, which learn as slowly as the weights, are not asked: what nobody reads may be cut off.
    """
    matrices = [member for member in group.members if member.parameter.ndim == 2]
    vectors = [member.parameter.index_select(member.axis, _closing(group, member)) for member in matrices]
    return float(torch.stack([vector.abs().max() for vector in vectors]).max()) < NEARLY_ZERO


def _closing(group: DimGroup, member: GroupMember) -> Tensor:
    return group.closing_indices(member.parameter.device)
