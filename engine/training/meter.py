"""What a run has spent, and how fast it goes: tokens, FLOPs and seconds of its steps, and their mean losses."""

from __future__ import annotations

import time
from typing import Any

import torch
from torch import Tensor

from engine.training.processes import Processes


class Meter:
    """Counts a run's steps. Only `mean_losses` and `state` wait for the device."""

    def __init__(self, processes: Processes) -> None:
        self._processes, self._began = processes, time.perf_counter()
        self.spent: dict[str, Any] = {
            "tokens": 0,
            "flops": 0,
            "training_seconds": 0.0,
        }  # since step 1, by all processes
        self._losses: dict[str, Tensor | float] = {}  # sums since the last step event
        self._tokens = self._steps = 0  # since then, over a resume too
        self._timed = 0  # steps since then that this process has timed
        self._since = self._mark = self._began

    @property
    def seconds(self) -> float:
        """Since this process began to work on the run."""
        return time.perf_counter() - self._began

    @property
    def training_seconds(self) -> float:
        """What the run's steps have taken until now, without scoring and saving."""
        return self.spent["training_seconds"] + time.perf_counter() - self._mark

    def start(self) -> None:
        """The next step begins now."""
        self._since = self._mark = time.perf_counter()

    def count(self, losses: dict[str, Tensor], tokens: int, flops: int) -> None:
        """A step was taken on so many visible `tokens`; `losses` are this process's addends."""
        for name, value in losses.items():
            self._losses[name] = self._losses.get(name, 0.0) + value
        self._tokens += tokens
        self._steps += 1
        self._timed += 1
        self.spent["tokens"] += tokens
        self.spent["flops"] += flops

    def mean_losses(self) -> dict[str, float]:
        """Of the steps since the last step event, over all processes."""
        return {name: total / self._steps for name, total in self._totals().items()}

    def pace(self) -> dict[str, float]:
        """Seconds a step and tokens a second since the last step event."""
        step_seconds = (time.perf_counter() - self._since) / self._timed
        self._settle()
        return {"step_seconds": step_seconds, "tokens_per_second": self._tokens / self._steps / step_seconds}

    def told(self) -> None:
        """The step event is out; counting begins anew."""
        self._losses, self._tokens, self._steps, self._timed = {}, 0, 0, 0
        self.start()

    def pause(self) -> None:
        """What follows is no step: scoring, drawing, saving."""
        self._settle()

    def resume(self) -> None:
        """Steps go on, and the pause counts as none."""
        now = time.perf_counter()
        self._since += now - self._mark
        self._mark = now

    def state(self) -> dict[str, Any]:
        """For a checkpoint, as plain values; the losses are the sums over all processes."""
        window = {"losses": self._totals(), "tokens": self._tokens, "steps": self._steps}
        return {"window": window, "spent": self.spent}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes on from what `state` gave; the sums over all processes go on in the first one."""
        self.spent = state.get("spent", self.spent)
        window = state["window"]
        self._losses = dict(window["losses"]) if self._processes.rank == 0 else {}
        self._tokens, self._steps = window["tokens"], window["steps"]

    def _settle(self) -> None:
        now = time.perf_counter()
        self.spent["training_seconds"] += now - self._mark
        self._mark = now

    def _totals(self) -> dict[str, float]:
        """Loss sums since the last step event, over all processes. Waits for the device."""
        if not self._losses:
            return {}
        sums = torch.stack([torch.as_tensor(value) for value in self._losses.values()])
        return dict(zip(self._losses, self._processes.sum_over_processes(sums), strict=True))
