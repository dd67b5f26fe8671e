"""The contract of a compression method: what it says of itself, and the hooks that training calls.

Most methods write `init_student` and `losses` and inherit the rest. What only some methods need stands in kinds/: a
task instead of text (learning_task), a corpus that is looked at first (calibrated), a student that changes shape while
it trains (shape_changing), a compression that needs no step at all (one_shot).
"""

from __future__ import annotations

import inspect
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from engine.learning.losses import masked_lm_loss
from engine.learning.optimizers import adamw
from engine.methods.kinds.learning_task import LearningTask, MaskedText
from engine.model.bert import Bert
from engine.settings.options import ConfigError
from engine.sizing.shape import Shape, ShapeError
from engine.sizing.step_flops import FORWARD_AND_BACKWARD, BatchShape, forward_flops
from engine.text.masking import Batch

USES = ("logit", "feature", "hard", "task-agnostic")  # columns of Table 1 in the WID paper, arXiv 2305.09098
SHAPE_FIELDS = ("layers", "hidden", "heads", "head_dim", "ffn")  # what a person chooses of a student


@dataclass(frozen=True)
class NoOptions:
    """A method without options."""


@dataclass(frozen=True)
class About:
    """What a method says of itself; the form, the card and the command line read it."""

    name: str  # as its file, and as in a config
    label: str  # as people read it
    paper: str = ""
    formula: str = r"\mathcal{L}_{\mathrm{MLM}}"  # the loss, as LaTeX
    uses: tuple[str, ...] = ("hard", "task-agnostic")  # among USES
    chooses: tuple[str, ...] = ("layers", "hidden", "heads")  # what of the student's shape the form asks for
    presets: dict[str, dict[str, Any]] = field(default_factory=dict)  # name -> the options it sets; the rest: defaults
    preset_notes: dict[str, str] = field(default_factory=dict)  # name -> when to take it
    numbers_title: str = ""  # what the numbers of after_backward are, for a chart
    numbers_unit: str = ""
    inherits_weights: bool = False  # it starts from its teacher's weights, and knows whole float32 ones only
    adds_head: bool = False  # it is made for teachers that have no masked-LM head of their own


class Method:
    """One way to make a student. Subclasses carry the lesson in their docstring; the app shows it."""

    about: ClassVar[About]
    Options: ClassVar[type] = NoOptions  # a dataclass of engine.settings.options.option fields: the app draws its form

    def __init__(self, options: Any, steps: int) -> None:
        """`options`: an instance of Options. `steps`: how many optimizer steps the run will take.

        Raises:
            ConfigError: the options do not fit together or do not fit into the run.
        """
        self.options, self.steps = options, steps

    # ---- before a run -----------------------------------------------------------------------------------------------

    @property
    def task(self) -> LearningTask:
        """What it learns from and what its students are scored on: masked text, unless it says otherwise."""
        return MaskedText()

    def student_shape(self, teacher: Shape, wanted: dict[str, Any]) -> Shape:
        """The student's shape: the teacher's with what is `wanted` changed, and a masked-LM head only.

        Raises:
            ConfigError: a field is not for choosing.
            ShapeError: the shape cannot be built, or not by this method.
        """
        unknown = sorted(set(wanted) - set(SHAPE_FIELDS))
        if unknown:
            raise ConfigError([f"A student's {', '.join(unknown)} cannot be chosen; choose {', '.join(SHAPE_FIELDS)}."])
        changes = {name: value for name, value in wanted.items() if value is not None}
        if changes.get("hidden", teacher.hidden) != teacher.hidden and "ffn" not in changes:
            changes["ffn"] = 4 * changes["hidden"] if isinstance(changes["hidden"], int) else None
        if {"hidden", "heads"} & set(changes) and "head_dim" not in changes:
            changes["head_dim"] = None
        if self.about.inherits_weights and teacher.compressions:
            raise ShapeError(
                [
                    f"{self.about.label} starts from its teacher's own weights and needs a plain BERT, but this "
                    f"teacher has {' and '.join(teacher.compressions)}; take the run that it was made from, or another "
                    "method."
                ]
            )
        shape = teacher.plain().replace(pooler=False, pair_head=False, mlm_head=True, **changes)
        problems = self.objections(teacher, shape)
        if problems:
            raise ShapeError(problems)
        return shape

    def objections(self, teacher: Shape, student: Shape) -> list[str]:
        """Why this method cannot make `student` from `teacher`, one sentence each; empty when it can."""
        return []

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """What a person should know before starting, one sentence each."""
        return []

    # ---- the student, and how it learns -----------------------------------------------------------------------------

    def init_student(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """The trainable student as it is before its first step, on the CPU; called like a Bert."""
        raise NotImplementedError

    def losses(self, student: nn.Module, teacher: Bert, batch: Batch) -> dict[str, Tensor]:
        """Named loss terms, already weighted: their sum is what is minimised.

        Each is a mean over the batch's hidden words, so that the parts of a batch add up to it. `student` may come
        wrapped: it can only be called, and every parameter of it takes part. `teacher`: what `task.fit_teacher` gave.
        No device sync.
        """
        return {"masked-LM": masked_lm_loss(student, batch)}

    def optimizer(self, student: nn.Module) -> torch.optim.Optimizer:
        """AdamW at the method's learning rate; matrices decay, biases and LayerNorms do not."""
        return adamw([(student, self.options.lr)])

    def after_backward(self, student: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> dict[str, float]:
        """What happens between backward and the optimizer's step (from 1); numbers to chart. No device sync."""
        return {}

    # ---- what came out ----------------------------------------------------------------------------------------------

    def finish(self, student: nn.Module) -> Bert:
        """The plain BERT that the trained student has become."""
        assert isinstance(student, Bert)
        return student

    def lineage(self, student: nn.Module) -> dict[str, Tensor]:
        """After `finish`: what the student is made of, by name, to be kept beside it. Empty: nothing to tell."""
        return {}

    # ---- what it costs ----------------------------------------------------------------------------------------------

    def pass_flops(
        self, teacher: Shape, student: Shape, work: BatchShape, step: int, network: nn.Module | None = None
    ) -> int:
        """FLOPs of one forward and backward pass over `work` in `step` (from 1), those of the teacher included.

        By default a forward pass of the student, twice as much backward, and no teacher: a method that asks its teacher
        adds what it asks. `network`: the student as it trains, where there is one; only a method whose course is not
        known beforehand looks at it.
        """
        return FORWARD_AND_BACKWARD * forward_flops(student, work)

    def update_flops(self, teacher: Shape, student: Shape, step: int) -> int:
        """FLOPs of what `step` does once, however its batch is split: an optimizer's products, a fold."""
        return 0


def step_flops(
    method: Method,
    teacher: Shape,
    student: Shape,
    parts: Sequence[BatchShape],
    step: int,
    network: nn.Module | None = None,
) -> int:
    """FLOPs of the whole `step`, whose batch is taken in `parts`."""
    passes = sum(method.pass_flops(teacher, student, part, step, network) for part in parts)
    return passes + method.update_flops(teacher, student, step)


def description(kind: type[Method]) -> str:
    """The method's docstring: how it works, for people."""
    return inspect.cleandoc(kind.__doc__ or "")
