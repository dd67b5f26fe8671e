"""What a model's frozen features already know of a task: a linear layer on them learns, and nothing else."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from engine.learning.closeness import sentence_embeddings
from engine.model.bert import Bert
from engine.settings.device import Device
from engine.tasks.batches import EncodedExamples, encode_examples, padded_on_device
from engine.tasks.labelled import Splits, Task, TaskError

PENALTIES = (1e-4, 1e-3, 1e-2, 1e-1)  # weights of the squares; the best on validation is taken
LBFGS_ITERATIONS = 100  # of L-BFGS, which has converged long before
LENGTH = 128  # tokens of a text or pair
BATCH = 64


class FrozenFeatures:
    """The features of a task's examples: the mean of the last hidden states, standardised by the training set's."""

    def __init__(
        self,
        bert: Bert,
        tokenizer: Any,
        task: Task,
        splits: Splits,
        device: Device,
        progress: Callable[[float], None] | None = None,
    ) -> None:
        """Runs every example through `bert` once; `progress` is told the share that is done, 0 to 1.

        Raises:
            TaskError: the task asks for answers, which a sentence's mean cannot point at.
        """
        if task.answers:
            raise TaskError(
                f"The task {task.name} asks for answers, so frozen sentence features say nothing; fine-tune."
            )
        self.task, self.splits, began = task, splits, time.perf_counter()
        parts = (splits.train, splits.validation, splits.test)
        encoded = [encode_examples(part, task, tokenizer, min(LENGTH, bert.shape.positions)) for part in parts]
        total, done = sum(map(len, encoded)), 0
        bert, found = bert.to(device.type).eval(), []
        for data in encoded:
            features = torch.empty(len(data), bert.shape.hidden)
            order = np.argsort([len(row) for row in data.ids], kind="stable")
            for start in range(0, len(order), BATCH):
                rows = order[start : start + BATCH]
                features[torch.from_numpy(rows)] = _batch_features(bert, data, rows, tokenizer.pad_token_id, device)
                done += len(rows)
                if progress:
                    progress(done / total)
            found.append(features)
        mean, spread = found[0].mean(0), found[0].std(0).clamp(min=1e-6)
        self.train, self.validation, self.test = ((features - mean) / spread for features in found)
        self.targets = [data.targets for data in encoded]
        self.seconds = time.perf_counter() - began

    def probe(self, seed: int) -> dict[str, Any]:
        """Scores on the test set of a linear layer; `seed` draws, with repeats, the training examples that it sees."""
        began = time.perf_counter()
        drawn = torch.from_numpy(np.random.default_rng([seed, 9]).integers(0, len(self.train), len(self.train)))
        best, chosen, penalty_chosen = -math.inf, None, 0.0
        for penalty in PENALTIES:
            layer = fit_linear(self.train[drawn], self.targets[0][drawn], len(self.task.classes), penalty)
            found = self.task.score(self._predict(layer, self.validation), self.splits.validation)[self.task.metrics[0]]
            if found > best:
                best, chosen, penalty_chosen = found, layer, penalty
        if chosen is None:
            raise TaskError(f"A linear layer could not be fitted to the task {self.task.name}.")
        return {
            "seed": seed,
            "test": self.task.score(self._predict(chosen, self.test), self.splits.test),
            "validation": best,
            "penalty": penalty_chosen,
            "seconds": round(time.perf_counter() - began, 1),
        }

    def _predict(self, layer: Tensor, features: Tensor) -> np.ndarray:
        logits = apply_linear(layer, features)
        return (logits.argmax(-1) if self.task.classes else logits[:, 0]).numpy()


@torch.no_grad()
def _batch_features(bert: Bert, data: EncodedExamples, rows: np.ndarray, pad: int, device: Device) -> Tensor:
    ids, visible, types = padded_on_device(data, rows, pad, device)
    with device.autocast():
        hidden = bert.encode(ids, visible, types)
    return sentence_embeddings(hidden, visible).cpu()


def fit_linear(features: Tensor, targets: Tensor, classes: int, penalty: float) -> Tensor:
    """A linear layer at the minimum of loss + penalty x squares: (hidden + 1, classes), its last row the bias.

    `features` (example, hidden), standardised; `targets` (example,). 0 classes: one output, squared error.
    """
    layer = torch.zeros(features.shape[1] + 1, max(1, classes), requires_grad=True)
    optimizer = torch.optim.LBFGS([layer], max_iter=LBFGS_ITERATIONS, line_search_fn="strong_wolfe")

    def closure() -> Tensor:
        optimizer.zero_grad()
        logits = apply_linear(layer, features)
        loss = F.cross_entropy(logits, targets) if classes else F.mse_loss(logits[:, 0], targets)
        loss = loss + penalty * layer[:-1].square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return layer.detach()


def apply_linear(layer: Tensor, features: Tensor) -> Tensor:
    """What the `layer` of `fit_linear` says of `features` (example, hidden): (example, classes)."""
    return features @ layer[:-1] + layer[-1]
