"""Methods that look at the corpus once, before the first step, to decide what becomes of the student."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from torch import nn

from engine.methods.kinds.stateful import Stateful
from engine.sizing.shape import Shape
from engine.text.masking import Batch


class Calibrated(Stateful):
    """Beside the hooks of Method: how much it looks at, and what it decides.

    A resumed run does not look again: `restore` puts back what was decided, from `state`.
    """

    @property
    def calibration_batches(self) -> int:
        """How many batches of the corpus `calibrate` looks at; 0 where its options need none."""
        raise NotImplementedError

    @property
    def corpus_decides_shape(self) -> bool:
        """Whether the student's shape, not only its weights, is known after `calibrate` only."""
        raise NotImplementedError

    def calibrate(self, student: nn.Module, batches: Iterable[Batch]) -> nn.Module:
        """What comes of `student`, fresh from `init_student`, by the first `calibration_batches` batches alone."""
        raise NotImplementedError

    def calibrated_shape(self, student: nn.Module) -> Shape:
        """The shape of the student after `calibrate`."""
        raise NotImplementedError


def calibration_batches(method: Any) -> int:
    """How many batches a method of any kind looks at before its first step."""
    return method.calibration_batches if isinstance(method, Calibrated) else 0


def calibrated(method: Any, student: nn.Module, batches: Iterable[Batch]) -> nn.Module:
    """The student of a method of any kind after it has looked at the corpus, which most do not."""
    return method.calibrate(student, batches) if isinstance(method, Calibrated) else student


def shape_after(method: Any, student: nn.Module, promised: Shape) -> Shape:
    """The shape that the initialised, calibrated `student` will have at last; `promised`: as student_shape said."""
    return method.calibrated_shape(student) if isinstance(method, Calibrated) else promised
