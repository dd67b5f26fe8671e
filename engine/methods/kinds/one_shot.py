"""What one-shot compressions have in common: the student is there before the first step, and steps, if any, heal it."""

from __future__ import annotations

from typing import Any

from torch import nn

from engine.methods.base import Method
from engine.model.bert import Bert
from engine.model.new_head import with_mlm_head
from engine.model.pruning import convert
from engine.settings.options import option
from engine.sizing.shape import Shape, ShapeError


def healing_rate() -> Any:
    """The field `lr` of a method's options."""
    return option(
        5e-4, "Peak learning rate of healing steps.", least=1e-7, most=1.0, label="learning rate", advanced=True
    )


class OneShot(Method):
    """A method whose work is done in `init_student`, `calibrate` or `finish`; nothing of the shape is for choosing."""

    def student_shape(self, teacher: Shape, wanted: dict[str, Any]) -> Shape:
        """The teacher's shape, as the method changes it.

        Raises:
            ConfigError: a field is not for choosing.
            ShapeError: other sizes than the teacher's are wanted, or the teacher does not suit the method.
        """
        asked, start = super().student_shape(teacher.plain(), wanted), self.start(teacher)
        if asked != start.plain():
            raise ShapeError(
                [
                    f"{self.about.label} starts from its teacher's sizes, {start}, and its options say what becomes of "
                    f"them, got {asked}; leave the student's sizes alone."
                ]
            )
        problems = self.refusals(teacher)
        if problems:
            raise ShapeError(problems)
        return self.outcome(start)

    def start(self, teacher: Shape) -> Shape:
        """The teacher without what a student has no use for."""
        return teacher.replace(pooler=False, pair_head=False, mlm_head=True)

    def refusals(self, teacher: Shape) -> list[str]:
        """Why this teacher cannot be compressed so, one sentence each."""
        if teacher.linear_bits == 8 or teacher.table_bits == 8:
            return [
                f"{self.about.label} needs weights that can learn, and this teacher's are int8 already; take the run "
                "that it was made from, and make int8 the last step."
            ]
        return []

    def outcome(self, start: Shape) -> Shape:
        """What becomes of a student that begins as `start`."""
        return start

    def init_student(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """A copy of the teacher."""
        return convert(with_mlm_head(teacher), self.start(teacher.shape))
