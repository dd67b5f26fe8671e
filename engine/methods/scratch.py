"""From scratch: the student that inherits nothing."""

from __future__ import annotations

from dataclasses import dataclass

from engine.methods.base import About
from engine.methods.kinds.fresh_student import FreshStudent, learning_rate, optimizer_choice


@dataclass(frozen=True)
class ScratchOptions:
    """Options of training from scratch."""

    lr: float = learning_rate()
    optimizer: str = optimizer_choice()


class Scratch(FreshStudent):
    """Training from scratch: random weights, masked-LM loss, no teacher.

    The yardstick. Whatever a compression method gains, it gains over this: the same shape, the same text in the
    same order, the same number of steps, and nobody to learn from.
    """

    about = About(name="scratch", label="From scratch", paper="Devlin et al. 2018, arXiv 1810.04805")
    Options = ScratchOptions

    options: ScratchOptions
