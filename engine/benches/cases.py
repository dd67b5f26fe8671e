"""What benches measure: on which device, which teacher and students, and how large a batch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.settings.options import ConfigError
from engine.sizing.shape import Shape

if TYPE_CHECKING:
    from engine.text.masking import Batch

MOST_REPEATS = 1000


@dataclass(frozen=True)
class Case:
    """What is measured: a teacher, the students that it is compressed to, and a batch of full rows."""

    device: str  # cpu or cuda
    teacher: Shape
    students: tuple[Shape, ...]
    rows: int
    length: int  # tokens of a row

    @property
    def tokens(self) -> int:
        """Tokens of a batch."""
        return self.rows * self.length

    def random_batch(self) -> Batch:
        """Full rows of random tokens on the case's device, 15% of them to be predicted; always the same."""
        import numpy as np
        import torch

        from engine.text.masking import MASKED_SHARE, Batch

        rng = np.random.default_rng(0)
        ids = rng.integers(0, self.teacher.vocab, (self.rows, self.length))
        positions = np.sort(rng.choice(ids.size, round(MASKED_SHARE * ids.size), replace=False))
        targets = rng.integers(0, self.teacher.vocab, len(positions))
        arrays = (ids, np.ones(ids.shape, bool), positions, targets)
        return Batch(*(torch.from_numpy(array) for array in arrays)).to(self.device)


BASE, MINI = Shape(), Shape(layers=6, hidden=384, heads=12)
TINY = Shape(layers=2, hidden=32, heads=4, vocab=97, positions=32)
WID_CASES = {
    "cpu": Case("cpu", MINI, (MINI.replace(hidden=192, tied=False),), 16, 128),
    "gpu": Case("cuda", BASE, tuple(BASE.replace(hidden=width, tied=False) for width in (192, 516)), 120, 128),
    "tiny": Case("cpu", TINY, (TINY.replace(hidden=16, tied=False),), 4, 16),
}
METHOD_CASES = {
    "cpu": Case("cpu", MINI, (MINI.replace(hidden=192),), 16, 64),
    "cuda": Case("cuda", BASE, (BASE.replace(hidden=384),), 64, 128),
    "tiny": Case("cpu", TINY, (TINY.replace(hidden=16),), 4, 16),
}
INT8_TEACHER = Shape(layers=4, hidden=128, heads=4)
INT8_WIDTHS = tuple(INT8_TEACHER.replace(hidden=width) for width in (64, 128, 192, 256, 384, 768))
INT8_CASES = {
    "cpu": Case("cpu", INT8_TEACHER, INT8_WIDTHS, 16, 64),
    "cuda": Case("cuda", INT8_TEACHER, INT8_WIDTHS, 64, 64),
    "tiny": Case("cpu", INT8_TEACHER, INT8_WIDTHS[:2], 2, 64),
}
FOR_TESTS = "tiny"  # the name of the case that takes seconds, so that tests go the same way


def find_case(cases: Mapping[str, Case], name: str, repeats: int) -> Case:
    """The case `name` among `cases`, to be measured `repeats` times.

    Raises:
        ConfigError: there is no such case, or too many or too few repeats.
    """
    if name not in cases:
        raise ConfigError([f"There is no case {name!r}; choose one of {', '.join(cases)}."])
    check_repeats(repeats)
    return cases[name]


def check_repeats(repeats: int) -> None:
    """Refuses a number of repeats that no bench can do.

    Raises:
        ConfigError: it is below 1 or above MOST_REPEATS.
    """
    if not 1 <= repeats <= MOST_REPEATS:
        raise ConfigError([f"repeats must be between 1 and {MOST_REPEATS:,}, got {repeats:,}."])


def why_unavailable(case: Case) -> str:
    """Why `case` cannot be measured on this machine; empty when it can."""
    import torch

    missing = case.device == "cuda" and not torch.cuda.is_available()
    return "not measured here: this machine has no CUDA device" if missing else ""
