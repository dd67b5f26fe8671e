"""A run at work: everything that its loop reads and changes, from set-up to the finished student."""

from __future__ import annotations

import dataclasses
import math
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
from engine.training.checkpoints import NotFiniteError, first_not_finite, newest_step, save_checkpoint
from engine.training.meter import Meter
from engine.training.plan import Plan
from engine.training.processes import Processes
from engine.training.run_card import predicted_words
from engine.training.schedule import Countdown, LearningRate, Milestones, milestones_of
from engine.training.step import Learner

Event = dict[str, Any]


def is_rate(option: str) -> bool:
    """Whether an option of a method is a learning rate: those may be lowered when a run goes on."""
    return option == "lr" or option.endswith("_lr")


def is_number(score: dict[str, float]) -> bool:
    """Whether a score is one; that over no word at all counts, for nobody can help it."""
    return score.get("words") == 0 or all(map(math.isfinite, score.values()))


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

    def finite_score(self, model: nn.Module, who: str) -> dict[str, float]:
        """As `score`, of a model that has one.

        Raises:
            TrainingError: its loss is no number; `who` it is of.
        """
        score = self.score(model)
        if not is_number(score):
            raise self.not_finite(f"The {who}'s score on held-out text is no number after step {self.done:,}.")
        return score

    def save(self) -> Event:
        """Keeps the state after the step `done`, from which a resumed run goes on; the event that says so."""
        extra = {"method": state_of(self.method, self.learner.student), **self.meter.state()}
        if self.countdown is not None:
            extra |= {"rate": self.rate.state(), "countdown": self.countdown.state()}
        if self.processes.rank == 0:
            learner, config = self.learner, self.config.to_json()
            try:
                save_checkpoint(self.run.checkpoints_dir, self.done, learner.student, learner.optimizer, extra, config)
            except NotFiniteError as error:
                raise self.not_finite(str(error)) from error
        return {"kind": "checkpoint", "step": self.done}

    def refuse_not_finite(self, student: nn.Module | None = None) -> None:
        """Refuses to draw, score or save a `student` with a weight that is no number. Waits for the device.

        By default the one that learns.

        Raises:
            TrainingError: it has one; says which, at which step and what to do.
        """
        if odd := first_not_finite((student or self.learner.student).named_parameters()):
            raise self.not_finite(f"Values of {odd} are no numbers any more after step {self.done:,}.")

    def not_finite(self, what: str) -> TrainingError:
        """The error of a run whose numbers have become none: `what` happened, a sentence, and what can be done."""
        options = dataclasses.asdict(self.method.options)
        rates = {name: options[name] for name in sorted(filter(is_rate, options), key=len)}  # lr is the first
        said = ", ".join(f"{name} (now {value:g})" for name, value in rates.items()) or "the learning rate"
        kept = newest_step(self.run.checkpoints_dir)
        if kept is None or not rates:
            return TrainingError(f"{what} Start again with a lower learning rate: lower {said}.")
        lower = " ".join(f"--option {name}=..." for name in rates)
        return TrainingError(
            f"{what} The checkpoint of step {kept:,} is kept; lower {said} and go on from there "
            f"(python -m engine train --resume {self.run.id} {lower}), or start again with a lower learning rate."
        )

    def snapshot(self) -> list[Event]:
        """The event that lets a page draw the student as it is; none where its form does not change.

        Raises:
            TrainingError: as `refuse_not_finite`.
        """
        if not isinstance(self.method, ShapeChanging):
            return []
        self.refuse_not_finite()
        config = self.config
        rows = max(1, config.batch // (config.processes * config.accumulate))  # of a forward pass
        predicted = rows * predicted_words(self.length, config.mask_share)
        drawn = self.method.snapshot(self.learner.student, rows * self.length, self.length, predicted)
        return [{"kind": "picture", "step": self.done, **drawn}]
