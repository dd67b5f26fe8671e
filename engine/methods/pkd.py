"""PKD: patient knowledge distillation, on a labelled task."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.learning.losses import at_least_float32, distillation_kl, patience_loss
from engine.learning.score_kind import ScoreKind
from engine.methods.base import Method
from engine.model.bert import Bert, Trace
from engine.model.layer_choice import layer_copy_objections, select_layers
from engine.model.new_head import with_pooler
from engine.settings.device import Device
from engine.settings.options import ConfigError, option
from engine.sizing.shape import Shape, nearest_divisors
from engine.sizing.step_flops import FORWARD_AND_BACKWARD, BatchShape, encoder_flops, linear_flops
from engine.tasks import catalog as tasks
from engine.tasks.batches import TaskBatch, TaskData, open_task
from engine.tasks.finetune import Recipe, TaskModel
from engine.tasks.taught_teacher import taught
from engine.text.corpora import TrainingData
from engine.text.masking import Batch, Masking

TASKS = tuple(name for name, task in tasks.TASKS.items() if task.classes and task.metrics[0] == "accuracy")
MATCHED = ("skip", "last")


@dataclass(frozen=True)
class PkdOptions:
    """Options of PKD."""

    task: str = option(
        "grammar", "The labelled task that the teacher learns first, and then the student.", choices=TASKS
    )
    matched: str = option(
        "skip",
        "Which of the teacher's layers are imitated: every k-th (PKD-Skip), or the last ones (PKD-Last). The last "
        "layer itself is left out: the classifier reads it.",
        choices=MATCHED,
        label="imitated layers",
    )
    temperature: float = option(10.0, "Flattens the teacher's probabilities.", least=0.1, most=100.0)
    soft: float = option(
        0.7,
        "Weight of the teacher's probabilities (the paper's alpha); the rest goes to the labels.",
        least=0.0,
        most=1.0,
        label="weight of soft targets",
    )
    patient: float = option(
        500.0,
        "Weight of the [CLS] states (the paper's beta, which it chooses among 10, 100, 500 and 1,000); large, because "
        "a mean over dims of vectors of length 1 is small.",
        least=0.0,
        most=1e5,
        label="weight of patience",
    )
    teacher_epochs: int = option(
        3, "How often the teacher sees the task's examples before it teaches.", least=1, most=100, advanced=True
    )
    teacher_lr: float = option(
        1e-4,
        "Peak learning rate of the teacher's fine-tuning.",
        least=1e-7,
        most=1.0,
        label="teacher's learning rate",
        advanced=True,
    )
    lr: float = option(1e-3, "Peak learning rate of the student.", least=1e-7, most=1.0, label="learning rate")


PRESETS: dict[str, dict[str, Any]] = {
    "short runs": {},
    "paper": {"lr": 5e-5, "teacher_lr": 2e-5, "teacher_epochs": 4},
}
PRESET_NOTES: dict[str, str] = {
    "short runs": "The paper's losses at learning rates for some hundred steps of a small model.",
    "paper": "The rates of the authors' release for BERT base: 4 epochs of the task, batches of 32 texts, 5e-5 the "
    "largest of three rates that it tries.",
}


class Pkd(Method):
    """Compression for one task. First the teacher is fine-tuned on it. Then a student, which starts as the teacher's
    first layers as they were before, learns the labels, the teacher's softened probabilities, and patiently also what
    the teacher's layers in between make of [CLS], the token that a text is classified by.

    What comes out is an encoder with a pooler and a classifier, and no masked-LM head: it was never asked for a word.
    """

    name = "pkd"
    label = "PKD (on a task)"
    paper = "Sun et al. 2019, Patient Knowledge Distillation for BERT Model Compression, arXiv 1908.09355"
    formula = (
        r"(1-\alpha)\,\mathcal{L}_{\mathrm{CE}} "
        r"+ \alpha\,T^2\,\mathrm{KL}\!\left(\sigma(z^T/T)\,\|\,\sigma(z^S/T)\right) "
        r"+ \beta\,\mathrm{MSE}\!\left(\tfrac{h^S_j}{\|h^S_j\|},\,\tfrac{h^T_{g(j)}}{\|h^T_{g(j)}\|}\right)"
    )
    uses = ("logit", "feature", "hard")
    Options = PkdOptions
    inherits = True
    chooses = ("layers",)
    presets: ClassVar[dict[str, dict[str, Any]]] = PRESETS
    preset_notes: ClassVar[dict[str, str]] = PRESET_NOTES

    options: PkdOptions

    # ---- what can be asked for --------------------------------------------------------------------------------------

    @property
    def task(self) -> tasks.Task:
        """What is learned."""
        return tasks.find(self.options.task)

    @property
    def measure(self) -> ScoreKind:
        """Accuracy on the task's test set."""
        return ScoreKind(self.task.name, f"Accuracy on {self.task.name}", "the task's test set", "text")

    @property
    def classes(self) -> tuple[str, ...]:
        """The task's."""
        return self.task.classes

    def text(self, asked: str, usual: str) -> str:
        """The teacher's: nothing of it is read, and nothing else can be asked for."""
        if asked not in ("auto", usual):
            raise ConfigError(
                [f"PKD learns from the task {self.options.task} and reads no corpus, got {asked}; leave it at auto."]
            )
        return usual

    def subject(self, text: str) -> str:
        """The task."""
        return f"the task {self.options.task}"

    def student_shape(self, teacher: Shape, wanted: dict[str, Any]) -> Shape:
        """The teacher's shape with fewer layers, half of them unless chosen; a pooler, and no masked-LM head."""
        layers = wanted.get("layers")
        chosen = {**wanted, "layers": max(2, teacher.layers // 2) if layers is None else layers}
        return super().student_shape(teacher, chosen).replace(pooler=True, mlm_head=False, tied=True)

    def objections(self, teacher: Shape, student: Shape) -> list[str]:
        """Whole layers are taken over; all but the last imitate one of the teacher's."""
        problems = layer_copy_objections(teacher, student, "A PKD student")
        if problems:
            return problems
        if student.layers < 2:
            return [
                f"PKD compares all layers but the last, so the student needs at least 2, got {student.layers}; use 2 "
                "layers."
            ]
        if self.options.matched == "skip" and teacher.layers % student.layers:
            near = [str(count) for count in nearest_divisors(teacher.layers, student.layers) if count > 1]
            return [
                f"PKD-Skip imitates every k-th of the teacher's {teacher.layers} layers, so the student's number must "
                f"divide it, got {student.layers}; use {' or '.join(near)} layers, or imitate the last ones."
            ]
        return []

    def notes(self, teacher: Shape, student: Shape) -> list[str]:
        """Which layers meet, and what the student has instead of a masked-LM head."""
        layers = [str(layer) for layer in self.imitated(teacher.layers, student.layers)]
        meets = (
            f"its layer 1 imitates the teacher's layer {layers[0]}"
            if len(layers) == 1
            else f"its layers 1 to {len(layers)} imitate the teacher's layers {', '.join(layers)}"
        )
        added = (student.hidden + 1) * len(self.classes)
        return [
            f"The teacher is fine-tuned on {self.task.name} first, once; the next run finds it in the cache.",
            f"The student starts as the teacher's first {student.layers} layers; {meets}.",
            f"It is for one task: it has no masked-LM head, and a classifier with {added:,} parameters more is kept "
            "beside it. Both counts are without masked-LM head.",
        ]

    def imitated(self, teacher_layers: int, student_layers: int) -> list[int]:
        """Which teacher layer, from 1, each student layer but the last one imitates."""
        if self.options.matched == "last":
            return [teacher_layers - student_layers + layer for layer in range(1, student_layers)]
        return [teacher_layers // student_layers * layer for layer in range(1, student_layers)]

    # ---- the verbs of a method --------------------------------------------------------------------------------------

    def data(self, text: str, tokenizer: Any, length: int, rows: int, masking: Masking) -> TrainingData:
        """The task's examples: all of them, nothing hidden."""
        return open_task(self.task, tokenizer, length)

    def guide(
        self, teacher: Bert, data: TrainingData, seed: int, device: Device
    ) -> Generator[tuple[str, float], None, Any]:
        """The teacher fine-tuned on the task, read off [CLS] as the student is."""
        assert isinstance(data, TaskData)
        recipe = Recipe(epochs=self.options.teacher_epochs, lr=self.options.teacher_lr, pooling="cls")
        learning = taught(with_pooler(teacher, seed).to(device.type), data, recipe, seed, device)
        while True:
            try:
                share = next(learning)
            except StopIteration as end:
                return end.value.requires_grad_(False)
            yield f"Fine-tuning the teacher on {data.name}", share

    def prepare(self, teacher: Bert, shape: Shape, seed: int) -> nn.Module:
        """The teacher's first layers, with a pooler (the teacher's, if it has one) and a fresh classifier."""
        return self._classifier(_encoder(teacher, shape, seed), seed)

    def _classifier(self, bert: Bert, seed: int = 0) -> TaskModel:
        """`bert` with a linear layer on top; no dropout, as in all of this project's students."""
        return TaskModel(bert, self.task, 0.0, seed, "cls")

    def losses(self, student: nn.Module, teacher: Any, batch: Batch) -> dict[str, Tensor]:
        """Labels, softened probabilities, and [CLS] of all layers but the last; means over the texts."""
        assert isinstance(batch, TaskBatch)
        ours: Trace = {"hidden": []}
        theirs: Trace = {"hidden": []}
        logits = at_least_float32(student(batch.ids, batch.visible, batch.types, ours))
        with torch.no_grad():
            guided = at_least_float32(teacher(batch.ids, batch.visible, batch.types, theirs))
        layers = self.imitated(len(theirs["hidden"]) - 1, len(ours["hidden"]) - 1)
        apart = patience_loss(
            torch.stack([hidden[:, 0] for hidden in ours["hidden"][1:-1]]),  # without embeddings and the last layer
            torch.stack([theirs["hidden"][layer][:, 0] for layer in layers]),
        )
        soft = self.options.soft
        return {
            "labels": (1 - soft) * F.cross_entropy(logits, batch.targets),
            "soft targets": soft * distillation_kl(logits, guided, self.options.temperature).mean(),
            "patience": self.options.patient * apart,
        }

    def pass_flops(
        self, teacher: Shape, student: Shape, work: BatchShape, step: int, network: nn.Module | None = None
    ) -> int:
        """Both encoders with pooler and classifier. The teacher's fine-tuning is done once, and not counted."""
        ours, theirs = (
            encoder_flops(shape, work)
            + linear_flops(work.rows, shape.hidden, shape.hidden)
            + linear_flops(work.rows, shape.hidden, len(self.classes))
            for shape in (student, teacher)
        )
        return FORWARD_AND_BACKWARD * ours + theirs

    @torch.no_grad()
    def score(self, model: nn.Module, data: TrainingData, device: Device) -> dict[str, float]:
        """Accuracy (0-1) and mean loss (nats a text) on the task's test set, which nothing is chosen by."""
        was_training, loss, right, count = model.training, 0.0, 0, 0
        model.eval()
        for host_batch in data.held_out_batches():
            batch = host_batch.to(device.type)
            assert isinstance(batch, TaskBatch)
            with device.autocast():
                logits = at_least_float32(model(batch.ids, batch.visible, batch.types))
            loss += float(F.cross_entropy(logits, batch.targets, reduction="sum"))
            right, count = right + int((logits.argmax(-1) == batch.targets).sum()), count + len(batch.targets)
        model.train(was_training)
        return {"loss": loss / count, "accuracy": right / count, "texts": count}

    def finish(self, student: nn.Module) -> Bert:
        """The encoder with its pooler."""
        assert isinstance(student, TaskModel)
        return student.bert

    def lineage(self, student: nn.Module) -> dict[str, Tensor]:
        """The classifier: without it the encoder knows the answers and cannot say them."""
        assert isinstance(student, TaskModel)
        return {f"classifier.{name}": p.detach().cpu().contiguous() for name, p in student.top.named_parameters()}

    def whole(self, bert: Bert, lineage: dict[str, Tensor]) -> nn.Module:
        """The encoder with its classifier again."""
        model = self._classifier(bert)
        model.top.load_state_dict({name: lineage[f"classifier.{name}"] for name in model.top.state_dict()})
        return model.eval()


def _encoder(teacher: Bert, shape: Shape, seed: int) -> Bert:
    """The first layers of `teacher` with a pooler and without masked-LM head."""
    weights = with_pooler(select_layers(teacher, list(range(shape.layers))), seed).state_dict()
    bert = Bert(shape)
    bert.load_state_dict({name: weights[name] for name in bert.state_dict()})
    return bert
