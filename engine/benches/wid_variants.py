"""The variants that the bench of WID compares: models with their optimizers, ready to take training steps.

Plain models, WID with compactors on the weights at three stages of a run, and WID with compactors on the activations.
"""

from __future__ import annotations

import torch
from torch import nn

from engine.benches.activation_compactors import ActivationSpace, activation_multiply_adds
from engine.benches.cases import Case
from engine.compactors.cut_schedule import CutSizes, smallest_dims
from engine.compactors.heir import Heir
from engine.learning.losses import masked_lm_loss
from engine.learning.optimizers import adamw
from engine.model.bert import new_bert
from engine.settings.device import Device
from engine.sizing.cost import multiply_adds
from engine.sizing.shape import Shape
from engine.text.masking import Batch

TEACHER, STUDENT = "plain teacher", "plain student"
ACTIVATION, RELEASED = "activation space", "activation space, as released"
OPEN, CLOSED, FOLDED = "weight space, open", "weight space, closed", "weight space, folded"
VARIANTS = (TEACHER, STUDENT, ACTIVATION, RELEASED, OPEN, CLOSED, FOLDED)


def close_all(heir: Heir, schedule: CutSizes, optimizer: torch.optim.Optimizer | None) -> None:
    """Removes all dims that must go from `heir` at once, as the cuts of a whole run do one after the other."""
    for group in heir.groups.values():
        left = schedule.remaining(group.kind, schedule.last_cut)
        heir.close(group, smallest_dims(group.vector_norms().cpu(), left, *schedule.pieces(group.kind)))
        heir.shrink(group, optimizer)


class Variant:
    """One of VARIANTS: a model in training mode on its device, with its optimizer."""

    def __init__(self, name: str, case: Case, student: Shape, device: Device) -> None:
        self.name, self.device = name, device
        bert = new_bert(student if name == STUDENT else case.teacher, seed=0)
        model: nn.Module = bert
        if name in (ACTIVATION, RELEASED):
            model = ActivationSpace(bert, as_released=name == RELEASED)
        elif name in (OPEN, CLOSED):
            model = Heir(bert)
        elif name == FOLDED:
            model = Heir(bert)
            close_all(model, CutSizes(case.teacher, student, "dim"), None)
            model = model.fold()
        self.model = model.to(device.type).train()
        self.optimizer = adamw([(self.model, 1e-4)])
        if name == RELEASED:
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-4, foreach=False)
        if name == CLOSED:
            self.train_step(case.random_batch())  # so that moments shrink too, as in a run
            assert isinstance(model, Heir)
            close_all(model, CutSizes(case.teacher, student, "dim"), self.optimizer)

    def train_step(self, batch: Batch) -> None:
        """One training step; of the released variant as its authors' code takes it."""
        with self.device.autocast():
            loss = masked_lm_loss(self.model, batch)
        loss.backward()
        if self.name == RELEASED:
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

    def multiply_adds(self, case: Case, student: Shape, predicted: int) -> int:
        """Of one forward pass over a batch, of whose tokens `predicted` are predicted."""
        if isinstance(self.model, Heir):
            return self.model.multiply_adds(case.tokens, case.length, predicted)
        if isinstance(self.model, ActivationSpace):
            return activation_multiply_adds(case.teacher, case.tokens, case.length, predicted)
        shape = case.teacher if self.name == TEACHER else student
        encoder = case.rows * multiply_adds(shape, case.length, 0)
        return encoder + predicted * shape.hidden * (shape.hidden + shape.vocab)
