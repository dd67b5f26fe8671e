"""Groups: dims that live and die together, and the tensors that have them along an axis.

Dims that meet in a residual addition or an inner product share one fate. Knows which are present and which are closing;
when and why is for engine/compactors/cut_schedule.py and engine/methods/wid.py to say.
"""

from __future__ import annotations

import base64
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from engine.model.bert import LayerNorm

MAX_BINS = 768  # of a group in a picture; wider groups are averaged over neighbours


@dataclass(frozen=True)
class GroupMember:
    """A tensor that has a group's dims along one axis: a compactor, a LayerNorm's gain or its offset."""

    owner: nn.Module
    name: str
    axis: int

    @property
    def parameter(self) -> nn.Parameter:
        """The tensor as it is now; shrinking puts a smaller one in its place."""
        found = getattr(self.owner, self.name)
        assert isinstance(found, nn.Parameter)
        return found


@dataclass
class DimGroup:
    """Dims that live and die together.

    `dims` says which of the teacher's dims are still present in the members, `closing` marks those among them that
    are on their way to zero.
    """

    name: str
    kind: str  # residual, attention, ffn or transform
    members: list[GroupMember]
    reference: GroupMember  # the one compactor by which the authors' release ranks this group
    biases: list[
        GroupMember
    ]  # of the linears that put out these dims; they keep the teacher's size, inside the compactor
    norms: list[LayerNorm]
    full: int  # how many dims the teacher has here
    dims: Tensor  # (present,) int64, ascending
    closing: Tensor  # (present,) bool
    steps_to_zero: int = 0  # steps until the closing vectors are zero; 0: they are not on a straight line to it
    _places: Tensor | None = None  # of the closing dims, where they are used: copied there once a cut, not once a step

    @property
    def open_count(self) -> int:
        """How many dims will stay, of those chosen so far."""
        return int((~self.closing).sum())

    def closing_indices(self, device: torch.device) -> Tensor:
        """Indices, among the dims that are present, of those that are closing, (closing,), on `device`."""
        if self._places is None or self._places.device != device:
            self._places = self.closing.nonzero().squeeze(1).to(device)
        return self._places

    def close(self, places: Tensor) -> None:
        """From now on the dims at `places` (indices among those present), and no others, are closing."""
        self.closing = torch.zeros(len(self.dims), dtype=torch.bool)
        self.closing[places] = True
        self._places = None

    def vector_norms(self, ranking: str = "mean") -> Tensor:
        """The L2 norm of each present dim's compactor vectors, (present,); LayerNorm entries do not count.

        `ranking` "mean": over all compactors of the group; "reference": of the reference compactor alone.
        """
        matrices = [member for member in self.members if member.parameter.ndim == 2]
        chosen = [self.reference] if ranking == "reference" else matrices
        norms = [member.parameter.detach().float().norm(dim=1 - member.axis) for member in chosen]
        return torch.stack(norms).mean(0)

    def norms_base64(self) -> str:
        """A picture of the norms: one byte for each of the teacher's dims, or bin of neighbours, in base64.

        100 stands for a norm of 1, as at birth; 0 for a dim that is gone. Waits for the device.
        """
        norms = torch.zeros(self.full)
        norms[self.dims] = self.vector_norms().cpu()
        if self.full > MAX_BINS:
            norms = nn.functional.adaptive_avg_pool1d(norms[None], MAX_BINS)[0]
        return base64.b64encode(bytes((norms * 100).nan_to_num(255).round().clamp(0, 255).int().tolist())).decode()
