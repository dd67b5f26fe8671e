"""Timetable: at which steps cuts are due, also where the run's end moves while it trains."""

from __future__ import annotations

from typing import Any

from engine.closing import Schedule

LEAST_INTERVAL = 4  # steps; vectors that fall to zero faster than this are cut off rather than led


class Timetable:
    """One cut after every interval, the last of them with an interval more to reach zero."""

    def __init__(self, schedule: Schedule, interval: int) -> None:
        """`interval`: steps between cuts."""
        self.schedule, self.interval = schedule, interval
        self.since, self.made = 0, 0  # since this step intervals are that long; so many cuts were made by then
        self.moved: tuple[int, int] | None = None  # by which step all is to be closed, and the run's last step

    @property
    def ends(self) -> int:
        """The step after which everything is closed."""
        return self.since + self.interval * (self.schedule.last_cut + 1 - self.made)

    def due(self, step: int) -> int | None:
        """Which cut, from 1, is to be made at `step`; None: none. After a move of the end cuts change their pace."""
        intervals, between = divmod(step - self.since, self.interval)
        if between:
            return None
        cut = self.made + intervals
        if self.moved and cut <= self.schedule.last_cut:
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
        intervals = max(1, min(self.schedule.last_cut + 1 - cut, room // LEAST_INTERVAL))
        self.since, self.made, self.interval = step, self.schedule.last_cut + 1 - intervals, room // intervals
        return self.made

    def state(self) -> dict[str, Any]:
        """As plain values, for a checkpoint."""
        return {name: value for name, value in vars(self).items() if name != "schedule"}

    def restore(self, state: dict[str, Any]) -> None:
        """Puts back what `state` gave."""
        vars(self).update(state)
