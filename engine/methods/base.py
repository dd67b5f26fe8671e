"""What a compression method is: a docstring, its options, and a few verbs. train.py calls nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.bert import Bert
from engine.config import ConfigError
from engine.corpora import Batch
from engine.muon import Together, hidden_matrices, muon
from engine.shape import Shape, ShapeError

OPTIMIZERS = ("adamw", "muon")  # for weights that start at random
FUSED = ("cpu", "cuda", "mps")  # devices whose AdamW runs as one kernel
USES = ("logit", "feature", "hard", "task-agnostic")  # columns of Table 1 in the WID paper, arXiv 2305.09098
SHAPE_FIELDS = ("layers", "hidden", "heads", "head_dim", "ffn")  # what a person chooses of a student


@dataclass(frozen=True)
class NoOptions:
    """A method without options."""


class Method:
    """One way to make a student. Subclasses carry the lesson in their docstring; the app shows it."""

    name: ClassVar[str]
    label: ClassVar[str]
    paper: ClassVar[str] = ""
    formula: ClassVar[str] = r"\mathcal{L}_{\mathrm{MLM}}"  # the loss, as LaTeX
    uses: ClassVar[tuple[str, ...]] = ("hard", "task-agnostic")  # among USES
    Options: ClassVar[type] = NoOptions
    presets: ClassVar[dict[str, dict[str, Any]]] = {}  # name -> the options it sets; the rest keep their defaults
    preset_notes: ClassVar[dict[str, str]] = {}
    numbers_title: ClassVar[str] = ""  # what the numbers of after_backward are, for a chart
    numbers_unit: ClassVar[str] = ""
    adds_head: ClassVar[bool] = False  # True: made for teachers that have no masked-LM head of their own
    chooses: ClassVar[tuple[str, ...]] = ("layers", "hidden", "heads")  # what of the student's shape the form asks for
    inherits: ClassVar[bool] = False  # True: it starts from a teacher's weights, and knows whole float32 ones only
    one_shot: ClassVar[bool] = False  # True: the student is there before the first step; steps, if any, heal it
    corpus_decides: ClassVar[bool] = False  # True: which layers lose what is known once it is prepared, only then

    def __init__(self, options: Any, steps: int) -> None:
        """`options`: an instance of Options. `steps`: how many optimizer steps the run will take.

        Raises:
            ConfigError: the options do not fit together or do not fit into the run.
        """
        self.options, self.steps = options, steps

    @property
    def pairs(self) -> str:
        """The kind of sentence pairs that it learns from: "sop", "nsp", or "none": rows of text."""
        return "none"

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
        if self.inherits and teacher.marks:
            raise ShapeError(
                [
                    f"{self.label} starts from its teacher's own weights and needs a plain BERT, but this teacher has "
                    f"{' and '.join(teacher.marks)}; take the run that it was made from, or another method."
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

    def prepare(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """The trainable student; called like a Bert."""
        raise NotImplementedError

    @property
    def calibration_batches(self) -> int:
        """How many batches of the corpus `calibrate` looks at."""
        return 0

    def calibrate(self, student: nn.Module, batches: Iterable[Batch]) -> nn.Module:
        """Once, before the first step: what can be learned from the first `calibration_batches` batches alone.

        `student` comes from `prepare`; the one that is given back goes on. A resumed run does not do this again:
        `restore` puts back what was decided, from `state`.
        """
        return student

    def settled(self, student: nn.Module, shape: Shape) -> Shape:
        """The shape that the prepared `student` will have at last; `shape` is what `student_shape` promised."""
        return shape

    def losses(self, student: nn.Module, teacher: Bert, batch: Batch) -> dict[str, Tensor]:
        """Named loss terms, already weighted: their sum is what is minimised.

        Each is a mean over the batch's hidden words, so that the parts of a batch add up to it. `student` may come
        wrapped: it can only be called, and every parameter of it takes part. No device sync.
        """
        return {"masked-LM": masked_lm(student, batch)}

    def optimizer(self, student: nn.Module) -> torch.optim.Optimizer:
        """AdamW at the method's learning rate; matrices decay, biases and LayerNorms do not."""
        return adamw([(student, self.options.lr)])

    def after_backward(self, student: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> dict[str, float]:
        """What happens between backward and the optimizer's step (from 1); numbers to chart. No device sync."""
        return {}

    def picture(self, student: nn.Module, tokens: int, length: int, predicted: int) -> dict[str, Any] | None:
        """What a page can draw of the student at this moment, as plain values. It may wait for the device.

        A forward pass of the run has `tokens` tokens in rows of `length`, of which `predicted` are hidden.
        """
        return None

    def pass_on(self, student: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """After a step: who goes on learning, and by which optimizer. The same ones, unless training changes form."""
        return student, optimizer

    def finish(self, student: nn.Module) -> Bert:
        """The plain BERT that the student has become."""
        assert isinstance(student, Bert)
        return student

    def lineage(self, student: nn.Module) -> dict[str, Tensor]:
        """After `finish`: what the student is made of, by name, to be kept beside it. Empty: nothing to tell."""
        return {}

    def state(self, student: nn.Module) -> dict[str, Any]:
        """What a checkpoint needs beside the parameters, as plain values and tensors."""
        return {}

    def restore(self, student: nn.Module, state: dict[str, Any]) -> nn.Module:
        """Puts back what `state` gave: from a student as `prepare` makes it, on the CPU, the one that trained on.

        Its parameters are put into it afterwards.
        """
        return student

    @classmethod
    def description(cls) -> str:
        """The docstring: how the method works, for people."""
        return inspect.cleandoc(cls.__doc__ or "")


def masked_lm(student: nn.Module, batch: Batch) -> Tensor:
    """Cross-entropy of the hidden tokens, their mean (BERT, section 3.1). Scalar, in nats."""
    return F.cross_entropy(student(batch.ids, batch.visible, positions=batch.positions).float(), batch.targets)


def fresh_optimizer(which: str, student: nn.Module, rate: float, decay: float = 0.01) -> torch.optim.Optimizer:
    """One of OPTIMIZERS for a `student` that inherits no weights: "adamw", or "muon" for its hidden matrices."""
    if which == "adamw":
        return adamw([(student, rate)], decay)
    matrices = [p for p in hidden_matrices(student) if p.requires_grad]
    return Together(muon(matrices, rate, decay), adamw([(student, rate)], decay, without=matrices))


def adamw(
    parts: list[tuple[nn.Module, float]], decay: float = 0.01, without: Sequence[nn.Parameter] = ()
) -> torch.optim.Optimizer:
    """One AdamW over several (module, learning rate) parts, on the device where their parameters are.

    Parameters `without` which it goes are another optimizer's.
    """
    groups: list[dict[str, Any]] = []
    others = {id(parameter) for parameter in without}
    for module, rate in parts:
        parameters = [p for p in module.parameters() if p.requires_grad and id(p) not in others]
        groups.append({"params": [p for p in parameters if p.ndim > 1], "lr": rate, "weight_decay": decay})
        groups.append({"params": [p for p in parameters if p.ndim <= 1], "lr": rate, "weight_decay": 0.0})
    groups = [group for group in groups if group["params"]]
    # one kernel for all tensors: for a 6x384 student 15 ms a step instead of 110, on one CPU core
    fused = all(p.device.type in FUSED for group in groups for p in group["params"])
    return torch.optim.AdamW(groups, betas=(0.9, 0.999), eps=1e-8, fused=fused)
