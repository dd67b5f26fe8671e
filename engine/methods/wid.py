"""Weight-Inherited Distillation: when dims close and how they are led to zero.

The algebra is in engine/compactors/heir.py, which dims go when in engine/compactors/cut_plan.py and cut_schedule.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from engine.compactors.cut_plan import CutPlan
from engine.compactors.cut_schedule import CutSteps, smallest_dims
from engine.compactors.decay import add_l2_gradient, decay_linearly, freeze_closing, nearly_zero, penalise_closing
from engine.compactors.groups import DimGroup
from engine.compactors.heir import Heir
from engine.compactors.options import WID_PRESET_NOTES, WID_PRESETS, WidOptions
from engine.learning.optimizers import adamw
from engine.methods.base import About, Method
from engine.methods.kinds.layer_map import StartsFromLayers
from engine.methods.kinds.shape_changing import ShapeChanging
from engine.model.bert import Bert
from engine.model.layer_choice import choose_layers, select_layers
from engine.settings.options import ConfigError
from engine.sizing.cost import compactor_parameters, multiply_adds
from engine.sizing.shape import Shape
from engine.sizing.step_flops import FORWARD_AND_BACKWARD, BatchShape, forward_flops
from engine.sizing.wid_cost import fold_multiply_adds, group_sizes, heir_multiply_adds


@dataclass(frozen=True)
class Inheritance:
    """What is still told of an heir once it has been folded and goes on as a plain BERT."""

    lineage: dict[str, Tensor]  # as Heir.lineage
    groups: list[dict[str, Any]]  # as Wid.snapshot
    numbers: dict[str, float]  # as Wid.after_backward


class Wid(StartsFromLayers, ShapeChanging, Method):
    """The student starts as the teacher itself, with a square matrix (a *compactor*) on either side of every linear
    layer. While it trains on masked words, matrix rows and columns close one by one until only the student's width is
    left; multiplied out, they leave a smaller BERT that has inherited its teacher's weights and goes on learning.

    No loss compares the two. That attention patterns survive is a consequence, not a goal.
    """

    about = About(
        name="wid",
        label="Weight-inherited distillation",
        paper="Wu et al., Weight-Inherited Distillation for Task-Agnostic BERT Compression, arXiv 2305.09098",
        presets=WID_PRESETS,
        preset_notes=WID_PRESET_NOTES,
        numbers_title="Dims still open",
        numbers_unit="% of the teacher's",
        inherits_weights=True,
    )
    Options = WidOptions

    options: WidOptions
    timetable: CutSteps | None = None  # of the student that was initialised

    # ---- what can be asked for --------------------------------------------------------------------------------------

    def objections(self, teacher: Shape, student: Shape) -> list[str]:
        """A student inherits only what its teacher has, and must be closed before the run ends."""
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
        problems += choose_layers(teacher.layers, student.layers, self.options.layers_from, self.options.layer_list)[1]
        return problems or self.plan(teacher, student).objections()

    def plan(self, teacher: Shape, student: Shape) -> CutPlan:
        """Which cuts lead from one shape to the other in this run, and when."""
        return CutPlan(self.options, self.steps, teacher, student)

    def student_shape(self, teacher: Shape, wanted: dict[str, Any]) -> Shape:
        """The folded student's shape: its decoder is its own, for it has a compactor of its own."""
        if self.steps < 2:
            raise ConfigError([f"WID needs at least 2 steps to close dims, got {self.steps}; give the run more steps."])
        if self.options.strategy == "head" and wanted.get("head_dim") is None:
            wanted = {**wanted, "head_dim": teacher.head_dim}
        shape = super().student_shape(teacher, wanted)
        return shape.replace(tied=False, embedding=shape.hidden)

    def starting_layers(self, teacher: Shape, student: Shape) -> list[int]:
        """As its options say; all of them where none is lost."""
        options = self.options
        return [
            layer + 1
            for layer in choose_layers(teacher.layers, student.layers, options.layers_from, options.layer_list)[0]
        ]

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """What the compactors cost, and where the paper ends."""
        plan = self.plan(teacher, student)
        last_cut = plan.sizes.last_cut
        notes = [
            f"While it inherits it carries up to {compactor_parameters(teacher):,} compactor parameters more; they are "
            "multiplied into the weights "
            + ("as soon as everything is closed." if self.options.after_closing == "folded" else "at the end."),
            f"Dims close in {last_cut} cuts, one every {plan.interval:,} steps; "
            + (
                f"everything is closed after step {plan.interval * (last_cut + 1):,}."
                if self.options.closing == "linear"
                else f"the last are chosen at step {plan.interval * last_cut:,}, and the penalty takes its time to "
                "bring them to zero."
            ),
            "Its decoder has a compactor of its own, so it is counted apart from the embedding table.",
        ]
        if student.layers < teacher.layers:
            layers = self.starting_layers(teacher, student)
            notes.append(
                f"The paper keeps all {teacher.layers} layers. This student inherits layers "
                f"{', '.join(map(str, layers))} and loses the others at birth, which goes beyond it."
            )
        return notes

    # ---- the hooks of a method --------------------------------------------------------------------------------------

    def init_student(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """The teacher, some of its layers if the student is shallower, with identity compactors."""
        if shape.layers != teacher.shape.layers:
            chosen = [layer - 1 for layer in self.starting_layers(teacher.shape, shape)]
            teacher = select_layers(teacher, chosen)
        self.timetable = self.plan(teacher.shape, shape).cut_steps()
        return Heir(teacher, masked_norms=self.options.norm_statistics == "kept")

    def optimizer(self, student: nn.Module) -> torch.optim.Optimizer:
        """Compactors and inherited weights learn at rates of their own, and so does the student once it is folded."""
        if not isinstance(student, Heir):
            return adamw([(student, self.options.student_lr)])
        optimizer = adamw([(student.inherited, self.options.lr), (student.compactors, self.options.compactor_lr)])
        for group in optimizer.param_groups[2:]:
            group["weight_decay"] = self.options.compactor_decay
        return optimizer

    def after_backward(self, student: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> dict[str, float]:
        """Cuts when a cut is due, leads closing vectors to zero, and takes out those that are there."""
        if not isinstance(student, Heir):
            return self._inheritance.numbers
        assert self.timetable is not None
        cut = self.timetable.due(step)
        with torch.no_grad():
            for group in student.groups.values():
                if group.steps_to_zero:
                    decay_linearly(student, group, optimizer)
                if cut is not None and not group.steps_to_zero:
                    self._cut(student, group, cut, self.timetable)
                if group.steps_to_zero:
                    freeze_closing(group, optimizer)
                elif self.options.closing == "penalty" and step > self.timetable.interval:
                    penalise_closing(group, optimizer, self.options.penalty)
                elif self.options.closing == "penalty":
                    add_l2_gradient(group)
        return _still_open(student)

    def _cut(self, student: Heir, group: DimGroup, cut: int, cuts: CutSteps) -> None:
        """Closes the dims of `group` with the smallest norms that `cut` takes, and says how they go."""
        left, goal = cuts.sizes.remaining(group.kind, cut), group_sizes(cuts.sizes.student)[group.kind]
        if left < group.open_count:
            blocks, unit = cuts.sizes.pieces(group.kind)
            norms = group.vector_norms(self.options.ranking).cpu()  # one device sync a group and cut
            student.close(group, smallest_dims(norms, left, blocks, unit))
        if not group.closing.any():
            return
        if self.options.closing == "linear" or (
            group.open_count <= goal and nearly_zero(group)
        ):  # the penalty has done it
            group.steps_to_zero = cuts.interval

    def move_end(self, steps: int) -> None:
        """What is still to be closed closes by the share of the run that was asked for, unless steps were."""
        self.steps = steps
        if self.timetable is not None and not self.options.interval:
            sizes = self.timetable.sizes
            self.timetable.move_end(self.plan(sizes.teacher, sizes.student).closing_steps, steps)

    def next_form(
        self, student: nn.Module, optimizer: torch.optim.Optimizer
    ) -> tuple[nn.Module, torch.optim.Optimizer]:
        """Once everything is closed, the plain BERT that computes what the heir computed, with a fresh optimizer."""
        if self.options.after_closing == "kept" or not isinstance(student, Heir) or not self._closed(student):
            return student, optimizer
        self._inheritance = Inheritance(student.lineage(), self._groups(student), _still_open(student))
        device = next(student.parameters()).device
        bert = student.fold().to(device).train()
        return bert, self.optimizer(bert)

    # ---- what it costs ----------------------------------------------------------------------------------------------

    def cost_phases(self, teacher: Shape, student: Shape) -> list[int]:
        """Every cut, and the fold."""
        return self.plan(teacher, student).cost_phases()

    def pass_flops(
        self, teacher: Shape, student: Shape, work: BatchShape, step: int, network: nn.Module | None = None
    ) -> int:
        """The heir's, products with its compactors included, as wide as its matrices are by then; or the student's.

        With the release's penalty nobody knows beforehand when a vector reaches zero: a plan takes it for the straight
        line's interval, and a `network` at work says it itself.
        """
        born = _born(teacher, student)
        if network is None:
            kept = self.plan(teacher, student).present_dims(step)
        else:
            kept = {it.kind: len(it.dims) for it in network.groups.values()} if isinstance(network, Heir) else None
        if kept is None:
            return FORWARD_AND_BACKWARD * forward_flops(student, work)
        return FORWARD_AND_BACKWARD * 2 * heir_multiply_adds(born, kept, work)

    def update_flops(self, teacher: Shape, student: Shape, step: int) -> int:
        """The fold's products, in the step after which everything is closed."""
        cuts = self.timetable or self.plan(teacher, student).cut_steps()
        if self.options.after_closing == "kept" or step != cuts.ends:
            return 0
        return 2 * fold_multiply_adds(_born(teacher, student), group_sizes(student))

    def final_form(self, student: nn.Module) -> nn.Module:
        """The plain student; or, where compactors are kept, an heir that is closed."""
        assert isinstance(student, Heir)
        if self.options.after_closing == "folded":
            self._inheritance = Inheritance({}, [], {})
            return Bert(self._goal)
        assert self.timetable is not None
        for group in student.groups.values():
            goal, (blocks, unit) = group_sizes(self._goal)[group.kind], self.timetable.sizes.pieces(group.kind)
            student.close(group, smallest_dims(group.vector_norms().cpu(), goal, blocks, unit))
            student.shrink(group, None)
        return student

    @property
    def _goal(self) -> Shape:
        """The shape that the prepared student will have."""
        assert self.timetable is not None
        return self.timetable.sizes.student

    def _closed(self, student: Heir) -> bool:
        goals = group_sizes(self._goal)
        return all(len(group.dims) == goals[group.kind] for group in student.groups.values())

    def finish(self, student: nn.Module) -> Bert:
        """Folds. After a stop before the end, dims that were closing are cut off, and the shape lies in between."""
        return student.fold() if isinstance(student, Heir) else super().finish(student)

    def lineage(self, student: nn.Module) -> dict[str, Tensor]:
        """The compactors that were folded: what the student is made of."""
        return student.lineage() if isinstance(student, Heir) else self._inheritance.lineage

    def snapshot(self, student: nn.Module, tokens: int, length: int, predicted: int) -> dict[str, Any]:
        """Every group's norms and how many of its dims are open; what a step of `tokens` tokens costs a token."""
        if isinstance(student, Heir):
            groups, work = self._groups(student), student.multiply_adds(tokens, length, predicted)
        else:
            rows = tokens // length
            groups = self._inheritance.groups
            work = rows * multiply_adds(self._goal, length, predicted // rows)
        return {"groups": groups, "multiply_adds_per_token": round(work / tokens)}

    def _groups(self, student: Heir) -> list[dict[str, Any]]:
        goals = group_sizes(self._goal)
        return [
            {
                "name": group.name,
                "kind": group.kind,
                "full": group.full,
                "goal": goals[group.kind],
                "present": len(group.dims),
                "kept": group.open_count,
                "norms": group.norms_base64(),
            }
            for group in student.groups.values()
        ]

    def state(self, student: nn.Module) -> dict[str, Any]:
        """Which dims are present, which are closing, how far the line to zero is; or what was inherited."""
        if not isinstance(student, Heir):
            return {"inheritance": vars(self._inheritance)}
        assert self.timetable is not None
        groups = {
            name: {"dims": group.dims, "closing": group.closing, "fading": group.steps_to_zero}
            for name, group in student.groups.items()
        }
        return {"groups": groups, "turns": self.timetable.state()}

    def restore(self, student: nn.Module, state: dict[str, Any]) -> nn.Module:
        """Puts the bookkeeping back; the parameters, in their shrunk sizes, come from the checkpoint."""
        if "inheritance" in state:
            self._inheritance = Inheritance(**state["inheritance"])
            return Bert(self._goal)
        assert isinstance(student, Heir)
        assert self.timetable is not None
        self.timetable.restore(
            state.get("turns", {})
        )  # a checkpoint of before there were timetables has its groups only
        for name, saved in state.get("groups", state).items():
            group = student.groups[name]
            group.dims, group.steps_to_zero = saved["dims"], saved["fading"]
            if group.kind == "attention":
                student.count_heads(group)
            student.close(group, saved["closing"].nonzero().squeeze(1))
        return student


def _born(teacher: Shape, student: Shape) -> Shape:
    """What an heir is born from: the layers of the teacher that it inherits, with a masked-LM head and no other."""
    return teacher.replace(layers=student.layers, pooler=False, pair_head=False, mlm_head=True)


def _still_open(student: Heir) -> dict[str, float]:
    """By kind of group: how many of the teacher's dims are open, in percent."""
    return {group.kind: 100 * group.open_count / group.full for group in student.groups.values()}
