"""When which dims of an heir close: what WID's options ask for, within the steps of one run.

cut_schedule.py has the two rules and counts steps; this file says which rule, how many cuts and how far apart.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

from engine.compactors.cut_schedule import MIN_INTERVAL, CutSizes, CutSteps
from engine.compactors.options import WidOptions
from engine.sizing.shape import Shape
from engine.sizing.wid_cost import group_sizes


@dataclass(frozen=True)
class CutPlan:
    """The cuts of a run of `steps` from one shape to the other. Arithmetic only; nothing has been trained yet."""

    options: WidOptions
    steps: int
    teacher: Shape
    student: Shape

    @property
    def closing_steps(self) -> int:
        """The step by which everything should be closed, where the options give no interval."""
        return max(2, int(self.steps * self.options.closed_by))

    @cached_property
    def sizes(self) -> CutSizes:
        """How many dims are left after each cut; a short run makes fewer and larger ones."""
        fitting = max(1, self.closing_steps // MIN_INTERVAL - 1)
        cuts = self.options.cuts if self.options.interval else min(self.options.cuts, fitting)
        return CutSizes(self.teacher, self.student, self.options.strategy, self.options.rule, cuts)

    @cached_property
    def interval(self) -> int:
        """Steps between cuts: cuts are due after one interval, two, ...; each takes one more to reach zero."""
        return self.options.interval or max(1, self.closing_steps // (self.sizes.last_cut + 1))

    def cut_steps(self) -> CutSteps:
        """At which steps cuts are due, counted from the run's beginning."""
        return CutSteps(self.sizes, self.interval)

    def objections(self) -> list[str]:
        """Why everything cannot be closed within the run's steps, or at the student's sizes; one sentence each."""
        if problems := self.sizes.objections():
            return problems
        needed = self.sizes.last_cut + 1  # intervals: the last cut's vectors take one to reach zero
        if self.interval * needed <= self.steps:
            return []
        if not self.options.interval:
            return [
                f"The rule {self.options.rule} closes this student in {self.sizes.last_cut} cuts, which takes at least "
                f"{needed} steps, got {self.steps}; give the run more steps."
            ]
        if self.steps < needed:
            return [f"Closing takes at least {needed} steps, got {self.steps}; give the run more steps."]
        return [
            f"Closing ends {self.options.interval * needed:,} steps after the start, later than the run's "
            f"{self.steps:,}; use at least {self.options.interval * needed:,} steps, or an interval of at most "
            f"{self.steps // needed:,}."
        ]

    def cost_phases(self) -> list[int]:
        """The steps (from 1) from which on a step costs something else.

        A cut's dims are gone one interval after it, so every interval is a phase; the fold is one of its own.
        """
        shrunk = [self.interval * (cut + 1) for cut in range(1, self.sizes.last_cut + 1)]
        return [1, *sorted({step + more for step in shrunk for more in (0, 1)} - {1})]

    def present_dims(self, step: int) -> dict[str, int] | None:
        """How many dims of each kind of group are in the matrices when `step` begins; None: it is folded by then."""
        cut = min((step - 1) // self.interval - 1, self.sizes.last_cut)  # the last whose dims are gone
        if cut == self.sizes.last_cut and self.options.after_closing == "folded":
            return None
        full = group_sizes(self.teacher)
        return {kind: self.sizes.remaining(kind, cut) if cut > 0 else size for kind, size in full.items()}
