"""A run at work: everything that its loop reads and changes, from set-up to the finished student."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from torch import nn

from engine.inheritance.attention_film import AttentionFilm
from engine.methods.base import Method
from engine.methods.kinds.shape_changing import ShapeChanging
from engine.methods.kinds.stateful import state_of
from engine.settings.device import Device
from engine.settings.run_config import RunConfig
from engine.sizing.shape import Shape
from engine.storage.runs import Run
from engine.teachers.card import Teacher
from engine.text.corpora import TrainingData
from engine.training.checkpoints import save_checkpoint
from engine.training.meter import Meter
from engine.training.plan import Plan
from engine.training.processes import Processes
from engine.training.run_card import predicted_words
from engine.training.schedule import Countdown, LearningRate, Milestones, milestones_of
from engine.training.step import Learner

Event = dict[str, Any]


class TrainingError(ValueError):
    """A run that went wrong in a way that other settings can mend, in one sentence."""


@dataclass
class Session:
    """One run in this process. `setup.set_up` makes it, `loop.learn` changes it, `finish.finish` ends it."""

    config: RunConfig
    run: Run
    processes: Processes
    meter: Meter
    # who learns what from whom
    plan: Plan
    teacher: Teacher
    data: TrainingData
    length: int  # longest row, in tokens
    learner: Learner
    # how far it is
    rate: LearningRate
    countdown: Countdown | None  # of a budget in seconds
    done: int  # optimizer steps
    stopped: bool = False  # somebody asked it to stop before its end
    film: AttentionFilm | None = None
    teacher_score: dict[str, float] = dataclasses.field(default_factory=dict)

    @property
    def method(self) -> Method:
        """By which the student learns."""
        return self.plan.method

    @property
    def device(self) -> Device:
        """Where everything is computed."""
        return self.plan.device

    @property
    def shape(self) -> Shape:
        """What the student will be."""
        return self.plan.shape

    @property
    def milestones(self) -> Milestones:
        """At which steps it tells, scores, draws and saves."""
        return milestones_of(self.config)

    def move_end(self, step: int, steps: int) -> None:
        """From `step` on the run's last step is another one."""
        self.rate.move_end(step, steps)
        if isinstance(self.method, ShapeChanging):
            self.method.move_end(steps)
        self.config = dataclasses.replace(self.config, steps=steps)

    def score(self, model: nn.Module) -> dict[str, float]:
        """How good `model` is on what is held out."""
        return self.method.task.score(model, self.data, self.device)

    def save(self) -> Event:
        """Keeps the state after the step `done`, from which a resumed run goes on; the event that says so."""
        extra = {"method": state_of(self.method, self.learner.student), **self.meter.state()}
        if self.countdown is not None:
            extra |= {"rate": self.rate.state(), "countdown": self.countdown.state()}
        if self.processes.rank == 0:
            save_checkpoint(self.run.checkpoints_dir, self.done, self.learner.student, self.learner.optimizer, extra)
        return {"kind": "checkpoint", "step": self.done}

    def snapshot(self) -> list[Event]:
        """The event that lets a page draw the student as it is; none where its form does not change."""
        if not isinstance(self.method, ShapeChanging):
            return []
        config = self.config
        rows = max(1, config.batch // (config.processes * config.accumulate))  # of a forward pass
        predicted = rows * predicted_words(self.length, config.mask_share)
        drawn = self.method.snapshot(self.learner.student, rows * self.length, self.length, predicted)
        return [{"kind": "picture", "step": self.done, **drawn}]
