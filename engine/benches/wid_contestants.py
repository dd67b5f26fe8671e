"""Who runs in the bench of WID: what is timed, as models with their optimizers, ready to take steps on one batch."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
import torch
from torch import nn

from engine.benches.activation_compactors import ActivationSpace, activation_multiply_adds
from engine.compactors.cut_schedule import CutSizes, smallest_dims
from engine.compactors.heir import Heir
from engine.learning.losses import masked_lm_loss
from engine.methods.base import adamw
from engine.model.bert import new_bert
from engine.settings.device import Device
from engine.settings.options import ConfigError
from engine.sizing.cost import multiply_adds
from engine.sizing.footprint import MASKED_SHARE
from engine.sizing.shape import Shape
from engine.text.masking import Batch

TEACHER, STUDENT = "plain teacher", "plain student"
ACTIVATION, RELEASED = "activation space", "activation space, as released"
OPEN, CLOSED, FOLDED = "weight space, open", "weight space, closed", "weight space, folded"
ROWS = (TEACHER, STUDENT, ACTIVATION, RELEASED, OPEN, CLOSED, FOLDED)


@dataclass(frozen=True)
class Case:
    """What is timed: a teacher, the students it shrinks to, and a batch of full rows."""

    device: str
    teacher: Shape
    students: tuple[Shape, ...]
    rows: int
    length: int


BASE, MINI = Shape(), Shape(layers=6, hidden=384, heads=12)
TINY = Shape(layers=2, hidden=32, heads=4, vocab=97, positions=32)
CASES = {
    "cpu": Case("cpu", MINI, (MINI.replace(hidden=192, tied=False),), 16, 128),
    "gpu": Case("cuda", BASE, tuple(BASE.replace(hidden=width, tied=False) for width in (192, 516)), 120, 128),
    "tiny": Case("cpu", TINY, (TINY.replace(hidden=16, tied=False),), 4, 16),  # the same path in a second, for tests
}


def chosen(cases: dict[str, Case], name: str, repeats: int) -> Case:
    """The case `name` among `cases`, to be measured `repeats` times.

    Raises:
        ConfigError: there is no such case, or too many or too few repeats.
    """
    if name not in cases:
        raise ConfigError([f"There is no case {name!r}; choose one of {', '.join(cases)}."])
    if not 1 <= repeats <= 1000:
        raise ConfigError([f"repeats must be between 1 and 1,000, got {repeats:,}."])
    return cases[name]


def not_here(case: Case) -> str:
    """Why `case` cannot be measured on this machine; empty when it can."""
    missing = case.device == "cuda" and not torch.cuda.is_available()
    return "not measured here: this machine has no CUDA device" if missing else ""


def close_all(heir: Heir, schedule: CutSizes, optimizer: torch.optim.Optimizer | None) -> None:
    """Takes everything that must go out of `heir` at once, as after the last cut."""
    for group in heir.groups.values():
        left = schedule.remaining(group.kind, schedule.last_cut)
        heir.close(group, smallest_dims(group.vector_norms().cpu(), left, *schedule.pieces(group.kind)))
        heir.shrink(group, optimizer)


class Contestant:
    """One row of the table: a model with its optimizer, ready to take steps on the batch."""

    def __init__(self, row: str, case: Case, student: Shape, device: Device) -> None:
        self.row, self.device = row, device
        bert = new_bert(student if row == STUDENT else case.teacher, seed=0)
        model: nn.Module = bert
        if row in (ACTIVATION, RELEASED):
            model = ActivationSpace(bert, as_released=row == RELEASED)
        elif row in (OPEN, CLOSED):
            model = Heir(bert)
        elif row == FOLDED:
            model = Heir(bert)
            close_all(model, CutSizes(case.teacher, student, "dim"), None)
            model = model.fold()
        self.model = model.to(device.type).train()
        self.optimizer = adamw([(self.model, 1e-4)])
        if row == RELEASED:
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, foreach=False)
        if row == CLOSED:
            self.step(new_batch(case))  # so that moments shrink too, as in a run
            assert isinstance(model, Heir)
            close_all(model, CutSizes(case.teacher, student, "dim"), self.optimizer)

    def step(self, batch: Batch) -> float:
        """One training step; its seconds."""
        began = self._now()
        with self.device.autocast():
            loss = masked_lm_loss(self.model, batch)
        loss.backward()
        if self.row == RELEASED:
            assert isinstance(self.model, ActivationSpace)
            with torch.no_grad():
                for compactor in self.model.compactors():
                    torch.linalg.norm(compactor, dim=0)
                    assert compactor.grad is not None
                    compactor.grad.add_(compactor)
        else:
            nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return self._now() - began

    def multiply_adds(self, case: Case, student: Shape, predicted: int) -> int:
        """Of one forward pass over the batch."""
        tokens = case.rows * case.length
        if isinstance(self.model, Heir):
            return self.model.multiply_adds(tokens, case.length, predicted)
        if isinstance(self.model, ActivationSpace):
            return activation_multiply_adds(case.teacher, tokens, case.length, predicted)
        shape = case.teacher if self.row == TEACHER else student
        encoder = case.rows * multiply_adds(shape, case.length, 0)
        return encoder + predicted * shape.hidden * (shape.hidden + shape.vocab)

    def _now(self) -> float:
        if self.device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()


def new_batch(case: Case) -> Batch:
    """Full rows of random tokens, 15% of them to be predicted."""
    rng = np.random.default_rng(0)
    ids = rng.integers(0, case.teacher.vocab, (case.rows, case.length))
    positions = np.sort(rng.choice(ids.size, round(MASKED_SHARE * ids.size), replace=False))
    arrays = (ids, np.ones(ids.shape, bool), positions, rng.integers(0, case.teacher.vocab, len(positions)))
    return Batch(*(torch.from_numpy(array) for array in arrays)).to(case.device)
