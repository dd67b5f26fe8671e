"""Weight-Inherited Distillation: which dims close, when, and how they reach zero. The algebra is in compactor.py."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from engine.bert import Bert
from engine.compactor import Group, Heir
from engine.config import ConfigError, option
from engine.cost import compactor_parameters
from engine.methods.base import Method, adamw, select_layers
from engine.shape import Shape

LEAST_INTERVAL = 4  # steps; vectors that fall to zero faster than this are cut off rather than led


@dataclass(frozen=True)
class WidOptions:
    """Options of Weight-Inherited Distillation."""

    strategy: str = option(
        "dim", "What attention loses: the same number of dims in every head, or whole heads.", choices=("dim", "head")
    )
    closed_by: float = option(
        0.5, "Share of the run after which every dim that must go has gone.", least=0.05, most=1.0, label="closed by"
    )
    cuts: int = option(16, "In how many equal steps dims close.", least=1, most=1000, advanced=True)
    compactor_lr: float = option(
        3e-3, "Peak learning rate of the compactors.", least=1e-7, most=1.0, label="compactor learning rate"
    )
    lr: float = option(
        5e-4, "Peak learning rate of the inherited weights.", least=0.0, most=1.0, label="weight learning rate"
    )
    layers_from: str = option(
        "spread",
        "A shallower student inherits these of the teacher's layers. The paper keeps the depth; this goes beyond it.",
        choices=("spread", "first", "last"),
        label="layers from",
        advanced=True,
    )


class Wid(Method):
    """Weight-Inherited Distillation: the student is born as its teacher and becomes narrower while it learns.

    Beside every weight matrix of the teacher sit two compactors, square matrices that start as identity. During
    training, more and more of their rows and columns are closed: they no longer learn the task but shrink to zero,
    while the open ones learn. In the end the compactors are multiplied into the weights and the closed dims fall
    away. The only loss is the masked-LM loss: nothing aligns the student with the teacher, it inherits.
    """

    name = "wid"
    label = "Weight-Inherited Distillation"
    paper = "Wu et al. 2023, arXiv 2305.09098"
    Options = WidOptions
    numbers_title = "Dims still open"
    numbers_unit = "% of the teacher's"

    def __init__(self, options: WidOptions, steps: int) -> None:
        super().__init__(options, steps)
        # cuts at interval, 2 x interval, ...; each takes one interval to reach zero; short runs make fewer, larger cuts
        closing_steps = max(2, int(steps * options.closed_by))
        if steps < 2:
            raise ConfigError([f"WID needs at least 2 steps to close dims, got {steps}; give the run more steps."])
        self.cuts = max(1, min(options.cuts, closing_steps // LEAST_INTERVAL - 1))
        self.interval = closing_steps // (self.cuts + 1)
        self.left: dict[str, int] = {}  # steps until a group's closing dims are zero
        self.goal: dict[str, int] = {}  # kind of group -> dims in the end

    def objections(self, teacher: Shape, student: Shape) -> list[str]:
        """A student inherits only what its teacher has."""
        problems = []
        for name in ("layers", "hidden", "heads", "ffn", "head_dim"):
            has, wants = getattr(teacher, name), getattr(student, name)
            if wants > has and not (name == "head_dim" and student.hidden > teacher.hidden):  # one mistake, said once
                problems.append(f"A WID student cannot have more {name} than its teacher: at most {has}, got {wants}.")
        if teacher.factorised or teacher.sharing != "none":
            problems.append(
                "WID inherits from a BERT with unshared layers and full embeddings; choose another teacher or method."
            )
        if problems:
            return problems
        if self.options.strategy == "dim" and student.heads != teacher.heads:
            problems.append(
                f"Strategy dim keeps the teacher's {teacher.heads} heads and narrows each, got {student.heads} heads; "
                f"use {teacher.heads} heads, or strategy head."
            )
        if self.options.strategy == "head" and student.head_dim != teacher.head_dim:
            heads = max(1, student.hidden // teacher.head_dim)
            problems.append(
                f"Strategy head keeps every head {teacher.head_dim} dims wide, got {student.head_dim}; use {heads} "
                f"heads at hidden {heads * teacher.head_dim}, or strategy dim."
            )
        return problems

    def student_shape(self, teacher: Shape, wanted: dict[str, Any]) -> Shape:
        """The folded student's shape: its decoder is its own, for it has a compactor of its own."""
        if self.options.strategy == "head" and wanted.get("head_dim") is None:
            wanted = {**wanted, "head_dim": teacher.head_dim}
        shape = super().student_shape(teacher, wanted)
        return shape.replace(tied=False, embedding=shape.hidden)

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """What the compactors cost, and where the paper ends."""
        notes = [
            f"While it inherits it carries {compactor_parameters(teacher):,} compactor parameters more; they are "
            "multiplied into the weights at the end.",
            "Its decoder has a compactor of its own, so it is counted apart from the embedding table.",
        ]
        if student.layers < teacher.layers:
            notes.append(
                f"The paper keeps all {teacher.layers} layers. This student inherits {student.layers} of them and "
                "loses the others at birth, which goes beyond the paper."
            )
        return notes

    def prepare(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """The teacher, some of its layers if the student is shallower, with identity compactors."""
        self.goal = _sizes(shape)
        if shape.layers != teacher.shape.layers:
            teacher = select_layers(teacher, shape.layers, self.options.layers_from)
        return Heir(teacher)

    def optimizer(self, student: nn.Module) -> torch.optim.Optimizer:
        """Compactors learn fast, inherited weights slowly; compactors know no weight decay."""
        assert isinstance(student, Heir)
        optimizer = adamw([(student.inherited, self.options.lr), (student.compactors, self.options.compactor_lr)])
        for group in optimizer.param_groups[2:]:
            group["weight_decay"] = 0.0
        return optimizer

    def after_backward(self, student: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> dict[str, float]:
        """Cuts when a cut is due, leads closing vectors to zero, and takes out those that are there."""
        assert isinstance(student, Heir)
        due = step % self.interval == 0 and step <= self.interval * self.cuts
        with torch.no_grad():
            for group in student.groups.values():
                if group.name in self.left:
                    self._fade(student, group, optimizer)
                if due:
                    self._cut(student, group, step // self.interval)
                if group.name in self.left:
                    self._silence(group, optimizer)
        full = _sizes(student.teacher_shape)
        return {group.kind: 100 * group.kept / full[group.kind] for group in student.groups.values()}

    def _cut(self, student: Heir, group: Group, cut: int) -> None:
        """Closes the next dims of `group`: those with the smallest norms, the same number in every head."""
        teacher = student.teacher_shape
        full = _sizes(teacher)[group.kind]
        norms = group.vector_norms().cpu()  # one device sync a cut
        blocks, unit = 1, 1  # independent rankings; dims that go together
        if group.kind == "attention" and self.options.strategy == "dim":
            blocks = teacher.heads
        elif group.kind == "attention":
            unit = teacher.head_dim
        units = norms.view(blocks, -1, unit).sum(-1)  # (block, unit)
        keep = round((full - (full - self.goal[group.kind]) * cut / self.cuts) / blocks / unit)
        going = units.shape[1] - keep
        if going <= 0:
            return
        smallest = units.argsort(dim=1, stable=True)[:, :going].sort(dim=1).values  # (block, going)
        offsets = torch.arange(blocks)[:, None] * units.shape[1]
        starts = (smallest + offsets).flatten() * unit
        student.close(group, (starts[:, None] + torch.arange(unit)).flatten())
        self.left[group.name] = self.interval

    def _fade(self, student: Heir, group: Group, optimizer: torch.optim.Optimizer) -> None:
        """One step of a straight line to zero, and at its end out of the matrices."""
        left = self.left[group.name]
        for member in group.members:
            closing = group.closing.nonzero().squeeze(1).to(member.parameter.device)
            faded = member.parameter.index_select(member.axis, closing) * ((left - 1) / left)
            member.parameter.index_copy_(member.axis, closing, faded)
        self.left[group.name] = left - 1
        if left == 1:
            del self.left[group.name]
            student.shrink(group, optimizer)

    def _silence(self, group: Group, optimizer: torch.optim.Optimizer) -> None:
        """Closing vectors learn nothing: neither the gradient nor the optimizer's memory moves them."""
        for member in group.members:
            parameter = member.parameter
            closing = group.closing.nonzero().squeeze(1).to(parameter.device)
            moments = optimizer.state.get(parameter, {})
            for tensor in (parameter.grad, moments.get("exp_avg"), moments.get("exp_avg_sq")):
                if tensor is not None:
                    tensor.index_fill_(member.axis, closing, 0.0)

    def finish(self, student: nn.Module) -> Bert:
        """Folds. After a stop before the end, dims that were closing are cut off, and the shape lies in between."""
        assert isinstance(student, Heir)
        return student.fold()

    def state(self, student: nn.Module) -> dict[str, Any]:
        """Which dims are present, which are closing, and how far the line to zero is."""
        assert isinstance(student, Heir)
        groups = {name: {"dims": group.dims, "closing": group.closing} for name, group in student.groups.items()}
        return {"groups": groups, "left": dict(self.left)}

    def restore(self, student: nn.Module, state: dict[str, Any]) -> None:
        """Puts the bookkeeping back; the parameters, in their shrunk sizes, come from the checkpoint."""
        assert isinstance(student, Heir)
        for name, saved in state["groups"].items():
            group = student.groups[name]
            group.dims, group.closing = saved["dims"], torch.zeros(len(saved["dims"]), dtype=torch.bool)
            if group.kind == "attention":
                student.count_heads(group)
            if saved["closing"].any():
                student.close(group, saved["closing"].nonzero().squeeze(1))
        self.left = dict(state["left"])


def _sizes(shape: Shape) -> dict[str, int]:
    """How many dims each kind of group has in a model of `shape`."""
    return {"residual": shape.hidden, "attention": shape.inner, "ffn": shape.ffn, "transform": shape.hidden}
