"""What a compression method is: a docstring, its options, and a few verbs. train.py calls nothing else."""

from __future__ import annotations

import inspect
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from engine.learning.losses import masked_lm_loss
from engine.learning.masked_lm import masked_lm_score
from engine.learning.optimizers import OPTIMIZERS as OPTIMIZERS
from engine.learning.optimizers import adamw as adamw
from engine.learning.optimizers import fresh_optimizer as fresh_optimizer
from engine.learning.score_kind import MASKED_LM, ScoreKind
from engine.model.bert import Bert
from engine.settings.device import Device
from engine.settings.options import ConfigError
from engine.sizing.shape import Shape, ShapeError
from engine.sizing.step_flops import FORWARD_AND_BACKWARD, BatchShape, forward_flops
from engine.text.corpora import Corpus, TrainingData
from engine.text.masking import Batch, Masking
from engine.text.sentence_pairs import PairCorpus, open_text
from engine.text.sources import find_source

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

    @property
    def measure(self) -> ScoreKind:
        """What `score` measures."""
        return MASKED_LM

    @property
    def classes(self) -> tuple[str, ...]:
        """What a student tells apart by the classifier that is kept beside it; empty: it has none."""
        return ()

    def text(self, asked: str, usual: str) -> str:
        """The name of the text to learn from, when `asked` was asked for ("auto": none) and `usual` is the teacher's.

        Raises:
            CorpusError: it is not there.
            ConfigError: the method reads no such text.
        """
        name = usual if asked == "auto" else asked
        find_source(name)
        return name

    def subject(self, text: str) -> str:
        """What it learns from, for people, when its text is `text`."""
        return f"the corpus {text}"

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
        if self.inherits and teacher.compressions:
            raise ShapeError(
                [
                    f"{self.label} starts from its teacher's own weights and needs a plain BERT, but this teacher has "
                    f"{' and '.join(teacher.compressions)}; take the run that it was made from, or another method."
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

    def data(self, text: str, tokenizer: Any, length: int, rows: int, masking: Masking) -> TrainingData:
        """What to learn from, about `rows` rows of at most `length` tokens of `text`, and what is held out of it.

        Raises:
            ValueError: (CorpusError, TaskError) it cannot be read.
        """
        return open_text(text, tokenizer, length, rows, self.pairs, masking)

    def guide(
        self, teacher: Bert, data: TrainingData, seed: int, device: Device
    ) -> Generator[tuple[str, float], None, Any]:
        """Who teaches: what `losses` and `score` get as the teacher, on `device` as the teacher is.

        Whatever takes time before yields what is being done, for people, and the share of it that is done, 0 to 1.
        """
        yield from ()
        return teacher

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
        return {"masked-LM": masked_lm_loss(student, batch)}

    def score(self, model: nn.Module, data: TrainingData, device: Device) -> dict[str, float]:
        """How good `model` is on what is held out: "accuracy" (0-1) and "loss" (nats), as `measure` explains them."""
        assert isinstance(data, Corpus | PairCorpus)
        return masked_lm_score(model, data, device)

    def optimizer(self, student: nn.Module) -> torch.optim.Optimizer:
        """AdamW at the method's learning rate; matrices decay, biases and LayerNorms do not."""
        return adamw([(student, self.options.lr)])

    def after_backward(self, student: nn.Module, optimizer: torch.optim.Optimizer, step: int) -> dict[str, float]:
        """What happens between backward and the optimizer's step (from 1); numbers to chart. No device sync."""
        return {}

    def replan(self, steps: int) -> None:
        """The run will take so many `steps` in all, as it turns out meanwhile: its budget is time."""
        self.steps = steps

    def picture(self, student: nn.Module, tokens: int, length: int, predicted: int) -> dict[str, Any] | None:
        """What a page can draw of the student at this moment, as plain values. It may wait for the device.

        A forward pass of the run has `tokens` tokens in rows of `length`, of which `predicted` are hidden.
        """
        return None

    def pass_on(self, student: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, torch.optim.Optimizer]:
        """After a step: who goes on learning, and by which optimizer. The same ones, unless training changes form."""
        return student, optimizer

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

    def phases(self, teacher: Shape, student: Shape) -> list[int]:
        """The steps (from 1, ascending) from which on a step costs something else than the one before it."""
        return [1]

    def step_flops(
        self, teacher: Shape, student: Shape, parts: Sequence[BatchShape], step: int, network: nn.Module | None = None
    ) -> int:
        """FLOPs of the whole `step`, whose batch is taken in `parts`."""
        passes = sum(self.pass_flops(teacher, student, part, step, network) for part in parts)
        return passes + self.update_flops(teacher, student, step)

    def at_last(self, student: nn.Module) -> nn.Module:
        """What `student`, fresh from `prepare`, trains as in the run's last steps. For a stopwatch: of the right size
        and make, with weights that need not mean anything."""
        return student

    def finish(self, student: nn.Module) -> Bert:
        """The plain BERT that the student has become."""
        assert isinstance(student, Bert)
        return student

    def lineage(self, student: nn.Module) -> dict[str, Tensor]:
        """After `finish`: what the student is made of, by name, to be kept beside it. Empty: nothing to tell."""
        return {}

    def whole(self, bert: Bert, lineage: dict[str, Tensor]) -> nn.Module:
        """What `score` is asked about a finished student: itself, with what of its lineage belongs to it."""
        return bert

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
