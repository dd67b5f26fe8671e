"""Learning rate: at what share of its peak each step of a run learns, also where the run's end moves."""

from __future__ import annotations

from typing import Any


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
