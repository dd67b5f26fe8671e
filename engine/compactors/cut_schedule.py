"""The schedule of cuts of Weight-Inherited Distillation: how many dims of a group go at which cut, which, and when.

`CutSizes` says how many dims are left after each cut, `smallest_dims` which ones go, `CutSteps` at which steps the cuts
are due. How the chosen ones are led to zero is in engine/compactors/decay.py; engine/methods/wid.py calls them all.

Two rules say how many dims are closed after a cut. "even" closes every group in equal parts, the residual stream ranked
as one group. "release" is the authors' code: FFN and transform in 16 parts; attention *and* the residual stream inside
every block as wide as a head, an eighth of what must go rounded down a cut (so a 12 x 516 student, which loses 21 of 64
dims a head, loses two a cut and one in the eleventh), or under the head strategy one whole block every second cut.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from engine.sizing.shape import Shape
from engine.sizing.wid_cost import group_sizes

RULES = ("even", "release")
MIN_INTERVAL = 4  # steps; vectors that fall to zero faster than this are cut off rather than led
RELEASE_CUTS, RELEASE_BLOCK_CUTS, RELEASE_CUTS_A_HEAD = 16, 8, 2


@dataclass(frozen=True)
class CutSizes:
    """How many dims of each kind of group are left after each cut, and in what pieces they go."""

    teacher: Shape
    student: Shape
    strategy: str  # what attention loses: the same number of dims in every head ("dim"), or whole heads ("head")
    rule: str = "even"
    cuts: int = 16  # of the rule "even"; "release" has its own

    def pieces(self, kind: str) -> tuple[int, int]:
        """(blocks, unit): into how many blocks, ranked apart, the group falls; how many dims go together."""
        if kind == "attention" or (kind == "residual" and self.rule == "release"):
            return (self._blocks(kind), 1) if self.strategy == "dim" else (1, self.teacher.head_dim)
        return 1, 1

    def remaining(self, kind: str, cut: int) -> int:
        """How many dims of a group of `kind` are not closed after `cut` (from 1)."""
        full, goal = group_sizes(self.teacher)[kind], group_sizes(self.student)[kind]
        blocks, unit = self.pieces(kind)
        going = (full - goal) // blocks // unit  # pieces that must go from every block
        if self.rule == "even":
            share = min(1.0, cut / self.cuts)
            return full if not going else blocks * unit * round((full - (full - goal) * share) / blocks / unit)
        if blocks > 1:
            gone = cut * max(1, going // RELEASE_BLOCK_CUTS)
        elif unit > 1:
            gone = cut // RELEASE_CUTS_A_HEAD
        else:
            gone = going * cut // RELEASE_CUTS
        return full - blocks * unit * min(gone, going)

    @cached_property
    def last_cut(self) -> int:
        """After this cut every group is at the student's size."""
        goals = group_sizes(self.student)
        cut = 1
        while any(self.remaining(kind, cut) > goal for kind, goal in goals.items()):
            cut += 1
        return cut

    def _blocks(self, kind: str) -> int:
        return self.teacher.heads if kind == "attention" else self.teacher.hidden // self.teacher.head_dim

    def objections(self) -> list[str]:
        """Why this schedule cannot end at the student's sizes, one sentence each; empty when it can."""
        problems = []
        for kind, goal in group_sizes(self.student).items():
            full, (blocks, unit) = group_sizes(self.teacher)[kind], self.pieces(kind)
            if (full - goal) % (blocks * unit) or (kind == "residual" and full % (blocks * unit)):
                piece = blocks * unit
                below = full - -(-(full - goal) // piece) * piece
                near = ", ".join(str(width) for width in (below, below + piece) if 0 < width <= full)
                problems.append(
                    f"Rule {self.rule} with strategy {self.strategy} takes {kind} dims {piece} at a time from "
                    f"{full}, so {goal} cannot be reached; the nearest widths are {near}."
                )
        return problems


def smallest_dims(norms: Tensor, remaining: int, blocks: int, unit: int) -> Tensor:
    """The places to close: in every block the pieces of `unit` dims with the smallest norms, down to `remaining`.

    `norms` (present,) on the CPU, block after block. Returns (closing,) int64, ascending. Equal norms: the first goes.
    """
    units = norms.view(blocks, -1, unit).sum(-1)  # (block, piece)
    going = units.shape[1] - remaining // blocks // unit
    if going <= 0:
        return torch.empty(0, dtype=torch.int64)
    chosen = units.argsort(dim=1, stable=True)[:, :going].sort(dim=1).values  # (block, going)
    starts = (chosen + torch.arange(blocks)[:, None] * units.shape[1]).flatten() * unit
    return (starts[:, None] + torch.arange(unit)).flatten()


class CutSteps:
    """At which steps cuts are due: after every interval one, the last of them with an interval more to reach zero."""

    def __init__(self, sizes: CutSizes, interval: int) -> None:
        """`interval`: steps between cuts."""
        self.sizes, self.interval = sizes, interval
        self.since, self.made = 0, 0  # since this step intervals are that long; so many cuts were made by then
        self.moved: tuple[int, int] | None = None  # by which step all is to be closed, and the run's last step

    @property
    def ends(self) -> int:
        """The step after which everything is closed."""
        return self.since + self.interval * (self.sizes.last_cut + 1 - self.made)

    def due(self, step: int) -> int | None:
        """Which cut, from 1, is to be made at `step`; None: none. After a move of the end cuts change their pace."""
        intervals, between = divmod(step - self.since, self.interval)
        if between:
            return None
        cut = self.made + intervals
        if self.moved and cut <= self.sizes.last_cut:
            cut = self._change_pace(step, cut, *self.moved)
            self.moved = None
        return cut

    def move_end(self, closed: int, last: int) -> None:
        """From the next cut on the rest closes evenly by the step `closed` of a run that ends with `last`.

        What is closing takes the time that it was given. Where too few steps are left for all cuts, the next one takes
        more dims; where `closed` has passed, half of what is left of the run.
        """
        self.moved = (closed, last)

    def _change_pace(self, step: int, cut: int, closed: int, last: int) -> int:
        room = max(1, max(closed, step + (last - step) // 2) - step)
        intervals = max(1, min(self.sizes.last_cut + 1 - cut, room // MIN_INTERVAL))
        self.since, self.made, self.interval = step, self.sizes.last_cut + 1 - intervals, room // intervals
        return self.made

    def state(self) -> dict[str, Any]:
        """As plain values, for a checkpoint."""
        return {name: value for name, value in vars(self).items() if name != "sizes"}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts back what `state` gave."""
        vars(self).update(state)
