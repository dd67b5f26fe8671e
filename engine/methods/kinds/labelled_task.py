"""A labelled task in the place of text: the teacher learns it first, then the student, and both have a classifier."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.learning.losses import at_least_float32
from engine.learning.score_kind import ScoreKind
from engine.methods.kinds.learning_task import LearningTask
from engine.model.bert import Bert
from engine.model.new_head import with_pooler
from engine.settings.device import Device
from engine.settings.options import ConfigError
from engine.tasks.batches import TaskBatch, TaskData, open_task
from engine.tasks.catalog import Task
from engine.tasks.fine_tuned_teacher import fine_tuned_teacher
from engine.tasks.finetune import FineTuneRecipe, TaskModel
from engine.text.corpora import TrainingData
from engine.text.masking import Masking


class LabelledTask(LearningTask):
    """One of engine.tasks.catalog's tasks, read off [CLS]."""

    def __init__(self, task: Task, method: str, teacher_recipe: FineTuneRecipe) -> None:
        """`method`: its label, for messages. `teacher_recipe`: how the teacher is fine-tuned."""
        self.task, self.method, self.teacher_recipe = task, method, teacher_recipe
        self.name, self.classes = task.name, task.classes
        self.score_kind = ScoreKind(task.name, f"Accuracy on {task.name}", "the task's test set", "text")

    def corpus(self, asked: str, usual: str) -> str:
        """The teacher's: nothing of it is read, and nothing else can be asked for."""
        if asked not in ("auto", usual):
            raise ConfigError(
                [f"{self.method} learns from the task {self.name} and reads no corpus, got {asked}; leave it at auto."]
            )
        return usual

    def describe(self, corpus: str) -> str:
        """The task by its name."""
        return f"the task {self.name}"

    def open_data(self, corpus: str, tokenizer: Any, length: int, rows: int, masking: Masking) -> TrainingData:
        """The task's examples: all of them, nothing hidden."""
        return open_task(self.task, tokenizer, length)

    def fit_teacher(
        self, teacher: Bert, data: TrainingData, seed: int, device: Device
    ) -> Generator[tuple[str, float], None, Any]:
        """The teacher fine-tuned on the task, read off [CLS] as the student is."""
        assert isinstance(data, TaskData)
        learning = fine_tuned_teacher(
            with_pooler(teacher, seed).to(device.type), data, self.teacher_recipe, seed, device
        )
        while True:
            try:
                share = next(learning)
            except StopIteration as end:
                return end.value.requires_grad_(False)
            yield f"Fine-tuning the teacher on {data.name}", share

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

    def with_classifier(self, bert: Bert, seed: int = 0) -> TaskModel:
        """`bert` with a fresh linear layer on top; no dropout, as in all of this project's students."""
        return TaskModel(bert, self.task, 0.0, seed, "cls")

    def scored_model(self, bert: Bert, lineage: dict[str, Tensor]) -> nn.Module:
        """The encoder with its classifier again."""
        model = self.with_classifier(bert)
        model.top.load_state_dict({name: lineage[f"classifier.{name}"] for name in model.top.state_dict()})
        return model.eval()
