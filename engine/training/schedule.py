"""When a run does what: learning rate, the end that a budget in seconds sets, steps at which it tells and saves."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.settings.run_config import RunConfig

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

    def end_after(self, step: int, spent: float) -> int:
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


class LearningRate:
    """A straight rise over the warm-up, then a straight fall that comes to its end with the run's last step."""

    def __init__(self, steps: int, warmup: float) -> None:
        """`steps`: of the run. `warmup`: the share of them over which the rate rises."""
        self.steps, self.rise = steps, warmup * steps
        self.begins, self.top = self.rise + 1, 1.0  # the step from which the fall goes straight to the end, its height

    def at(self, step: int) -> float:
        """The share of the peak at `step` (from 1), above 0 and at most 1."""
        rising = step / self.rise if self.rise else 1.0
        falling = self.top * (self.steps - step + 1) / max(1.0, self.steps - self.begins + 1)
        return min(rising, falling, 1.0)

    def move_end(self, step: int, steps: int) -> None:
        """From `step` on the fall goes to another last step, `steps`: it bends there and does not leap."""
        if step > self.begins:
            self.top, self.begins = self.at(step), float(step)
        self.steps = steps

    def state(self) -> dict[str, Any]:
        """As plain values, for a checkpoint."""
        return dict(vars(self))

    def restore(self, state: dict[str, Any]) -> None:
        """Puts back what `state` gave."""
        vars(self).update(state)


LEAST_BETWEEN_EVALUATIONS = 10  # steps
FRAMES = 40  # pictures of attention in a run at most, beside those of its beginning and its end
PICTURES = 40  # how often a run shows what its student looks like inside


@dataclass(frozen=True)
class Milestones:
    """At which of its steps a run tells, scores, draws and saves what."""

    log_every: int
    evaluations: set[int]
    filmed: set[int]
    checkpoints: set[int]
    pictures: set[int]


def milestones_of(config: RunConfig) -> Milestones:
    """Those of a run of `config.steps`."""
    evaluations = _spread(config.steps, config.evaluations, LEAST_BETWEEN_EVALUATIONS)
    checkpoints, pictures = (_spread(config.steps, times, 1) for times in (config.checkpoints, PICTURES))
    return Milestones(min(20, max(1, config.steps // 200)), evaluations, frames(evaluations), checkpoints, pictures)


def frames(evaluations: set[int]) -> set[int]:
    """At which of the steps `evaluations` a picture is taken: all, or evenly spread ones where there are many."""
    return set(sorted(evaluations)[:: max(1, -(-len(evaluations) // FRAMES))])


def _spread(steps: int, times: int, least: int) -> set[int]:
    """At most `times` steps, evenly over the run, at least `least` apart, the last step always among them."""
    times = max(1, min(times, steps // max(1, least)))
    return {round(steps * (index + 1) / times) for index in range(times)}
