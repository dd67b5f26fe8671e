"""Countdown: how many steps a budget in seconds still pays for, told anew after every step.

Steps timed beforehand say how a run's cost is expected to go; how much slower or faster this machine really is, is seen
from the run's own steps. Knows no method and no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MEMORY = 0.95  # what a step counts for when the next one has been taken: the last twenty or so decide
TRUST = 5  # steps for which what was timed beforehand counts: one slow first step is no slow machine
SLACK = 0.05  # of the steps that are left: nearer to the plan than this the end stays where it is


class Countdown:
    """The last step of a run whose budget is `asked` seconds."""

    def __init__(self, asked: float, steps: int, course: Sequence[tuple[int, float]]) -> None:
        """`steps`: how many were planned. `course`: (from which step on, seconds a step), ascending, from step 1."""
        self.asked, self.planned, self.course = asked, steps, [(begin - 1, price) for begin, price in course]
        self.steps = steps  # the last one, as it looks now
        self.place = 0.0  # how far the planned course has come, in its steps
        self.spent = 0.0
        self.taken = self.expected = TRUST * self.course[0][1]

    def took(self, step: int, spent: float) -> int:
        """The run's last step, as it looks after `step`; `spent`: the seconds of all steps so far.

        That is `step` itself where the next one does not fit any more.
        """
        self.taken = MEMORY * self.taken + spent - self.spent
        self.expected = MEMORY * self.expected + self._price()
        self.spent = spent
        self.place += (self.planned - self.place) / max(1, self.steps - step + 1)
        slower, left = self.taken / self.expected, self.asked - spent
        fitting = left / (slower * self._price_ahead())
        if left < slower * self._price():
            self.steps = step
        elif abs(fitting - (self.steps - step)) >= max(1.0, SLACK * (self.steps - step)):
            self.steps = step + max(1, int(fitting))
        return self.steps

    def _price(self) -> float:
        """Seconds that were planned for the next step."""
        return [price for begin, price in self.course if begin <= self.place][-1]

    def _price_ahead(self) -> float:
        """Seconds a step that were planned for all that is ahead, their mean."""
        ahead = self.planned - self.place
        if ahead < 1:
            return self._price()
        begins = [begin for begin, _ in self.course]
        ends = [*begins[1:], max(self.planned, begins[-1])]
        prices = [price for _, price in self.course]
        pieces = zip(begins, ends, prices, strict=True)
        return sum(price * max(0.0, end - max(begin, self.place)) for begin, end, price in pieces) / ahead

    def state(self) -> dict[str, Any]:
        """As plain values, for a checkpoint."""
        return {name: value for name, value in vars(self).items() if name != "course"}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts back what `state` gave."""
        vars(self).update(state)
