"""Fine-tuning: an encoder with a linear layer on top, trained on labelled text and chosen on validation.

Classes and numbers are read off the mean of the last hidden states, or off [CLS] behind the pooler; answers off each
position (BERT, arXiv 1810.04805, section 4.2). One recipe for every model, so that scores compare.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import math
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.learning.closeness import sentence_embeddings
from engine.learning.optimizers import adamw
from engine.model.bert import Bert, Trace
from engine.settings.device import Device
from engine.tasks.batches import EncodedExamples, encode_examples, epoch_batches, padded_on_device
from engine.tasks.labelled import Splits, Task, TaskError

VALIDATIONS_PER_EPOCH = 2  # how often an epoch is validated
LONGEST_ANSWER = 30  # tokens
POOLINGS = ("mean", "cls")
OUT_OF_REACH = -1e4  # for positions that no answer can begin or end at; bfloat16 holds it


@dataclass(frozen=True)
class FineTuneRecipe:
    """How every model is fine-tuned."""

    epochs: int = 3
    batch: int = 32
    lr: float = 1e-4
    warmup: float = 0.1  # share of the steps in which the rate rises; then it falls in a straight line
    decay: float = 0.01
    dropout: float = 0.1  # before the linear layer
    clip: float = 1.0
    length: int = 128  # tokens of a text or pair
    patience: int = 3  # validations without a better score before it ends
    pooling: str = "mean"  # among POOLINGS: what classes and numbers are read off

    def to_json(self) -> dict[str, Any]:
        """Its settings as plain values."""
        return dataclasses.asdict(self)


class TaskModel(nn.Module):
    """An encoder with a linear layer for a task."""

    def __init__(self, bert: Bert, task: Task, dropout: float, seed: int, pooling: str = "mean") -> None:
        """`pooling`: among POOLINGS; "cls" needs an encoder with a pooler."""
        super().__init__()
        self.bert, self.answers, self.pooling = copy.deepcopy(bert).requires_grad_(True), task.answers, pooling
        self.dropout = nn.Dropout(dropout)
        self.top = nn.Linear(bert.shape.hidden, 2 if task.answers else max(1, len(task.classes)))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.top.weight.normal_(0.0, 0.02, generator=generator)
            self.top.bias.zero_()

    def forward(self, ids: Tensor, visible: Tensor, types: Tensor, trace: Trace | None = None) -> Tensor:
        """ids, visible, types (batch, pos) -> logits (batch, class), or (batch, 2, pos) of an answer's ends.

        `trace`: as Bert.encode.
        """
        hidden = self.bert.encode(ids, visible, types, trace)
        if self.answers:
            return self.top(self.dropout(hidden)).transpose(1, 2)
        if self.pooling == "cls":
            return self.top(self.dropout(self.bert.pooled(hidden)))
        return self.top(self.dropout(sentence_embeddings(hidden, visible)))


def fine_tune_and_test(
    bert: Bert,
    tokenizer: Any,
    task: Task,
    splits: Splits,
    recipe: FineTuneRecipe,
    seed: int,
    device: Device,
    progress: Callable[[float], None] | None = None,
) -> dict[str, Any]:
    """Scores on the test set of `bert` fine-tuned on `splits`; `bert` itself stays as it is.

    The state that was best on validation is the one that is tested; the test set is looked at once. `progress` is told
    the share that is done, 0 to 1.

    Raises:
        TaskError: a text does not fit the model, or the loss is no number any more.
    """
    began, length = time.perf_counter(), min(recipe.length, bert.shape.positions)
    parts = [encode_examples(part, task, tokenizer, length) for part in (splits.train, splits.validation, splits.test)]
    learning = fine_tune_in_steps(bert, tokenizer, task, parts[0], parts[1], recipe, seed, device)
    if not len(parts[2]):
        raise TaskError(f"The task {task.name} lacks examples: it needs some to test.")
    while True:
        try:
            share = next(learning)
        except StopIteration as end:
            learned: FineTuned = end.value
            break
        if progress:
            progress(share)
    return {
        "seed": seed,
        "test": task.score(predict(learned.model, parts[2], task, tokenizer, device), parts[2].examples),
        "validation": max(learned.validations),
        "validations": learned.validations,
        "steps": learned.steps,
        "seconds": round(time.perf_counter() - began, 1),
    }


@dataclass(frozen=True)
class FineTuned:
    """What came of learning a task."""

    model: TaskModel  # as it was when it was best on validation
    validations: list[float]
    steps: int


def fine_tune_in_steps(
    bert: Bert,
    tokenizer: Any,
    task: Task,
    train: EncodedExamples,
    validation: EncodedExamples,
    recipe: FineTuneRecipe,
    seed: int,
    device: Device,
) -> Generator[float, None, FineTuned]:
    """Fine-tunes a copy of `bert`; yields the share that is done, 0 to 1, every few steps, and returns what came of it.

    Raises:
        TaskError: examples are missing, or the loss is no number any more.
    """  # fmt: skip
    if not len(train) or not len(validation):
        raise TaskError(f"The task {task.name} lacks examples: it needs some to learn from and some to choose by.")
    torch.manual_seed(seed)  # dropout
    model = TaskModel(bert, task, recipe.dropout, seed, recipe.pooling).to(device.type)
    unread = ("bert.head.", "bert.pair.") if recipe.pooling == "cls" else ("bert.head.", "bert.pair.", "bert.pooler.")
    encoder = [p for name, p in model.named_parameters() if not name.startswith(unread)]
    optimizer = adamw([(nn.ParameterList(encoder), recipe.lr)], recipe.decay)
    steps = recipe.epochs * math.ceil(len(train) / recipe.batch)
    validated_at = {
        math.ceil(steps * (index + 1) / (recipe.epochs * VALIDATIONS_PER_EPOCH))
        for index in range(recipe.epochs * VALIDATIONS_PER_EPOCH)
    }
    best, chosen, waited, step = -math.inf, copy.deepcopy(model.state_dict()), 0, 0
    history: list[float] = []
    rates = [group["lr"] for group in optimizer.param_groups]
    for rows in _batches_of_epochs(train, recipe, seed):
        model.train()
        ids, visible, types = padded_on_device(train, rows, tokenizer.pad_token_id, device)
        with device.autocast():
            logits = model(ids, visible, types)
        loss = task_loss(logits.float(), train.targets[torch.from_numpy(rows)].to(device.type), task)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), recipe.clip)
        step += 1
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            rise = recipe.warmup * steps
            group["lr"] = rate * min(step / max(1.0, rise), (steps - step + 1) / max(1.0, steps - rise), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if step % 4 == 0:
            yield step / steps
        if step in validated_at:
            if not math.isfinite(float(loss.detach())):
                raise TaskError(f"The loss is no number any more at step {step}; use a lower learning rate.")
            found = task.score(predict(model, validation, task, tokenizer, device), validation.examples)
            history.append(found[task.metrics[0]])
            waited += 1
            if history[-1] > best:
                best, chosen, waited = history[-1], copy.deepcopy(model.state_dict()), 0
            if waited >= recipe.patience:
                break
    model.load_state_dict(chosen)
    return FineTuned(model.eval(), history, step)


def task_loss(logits: Tensor, targets: Tensor, task: Task) -> Tensor:
    """Cross-entropy of classes or of an answer's two ends (mean), squared error of numbers. Scalar."""
    if task.answers:
        known = targets[:, 0] >= 0
        if not known.any():
            return logits.sum() * 0.0
        return F.cross_entropy(logits[known].flatten(0, 1), targets[known].flatten())
    if task.classes:
        return F.cross_entropy(logits, targets)
    return F.mse_loss(logits[:, 0], targets)


@torch.no_grad()
def predict(model: TaskModel, data: EncodedExamples, task: Task, tokenizer: Any, device: Device) -> Any:
    """What `model` says of every example: class indices (example,), numbers (example,), or a list of answers."""
    model.eval()
    order = np.argsort([len(row) for row in data.ids], kind="stable")
    found: list[Any] = [None] * len(data)
    for start in range(0, len(order), 64):
        rows = order[start : start + 64]
        ids, visible, types = padded_on_device(data, rows, tokenizer.pad_token_id, device)
        with device.autocast():
            logits = model(ids, visible, types).float().cpu()
        for place, row in enumerate(rows.tolist()):
            if task.answers:
                found[row] = _likeliest_answer(logits[place], data.offsets[row], data.examples[row].second)
            else:
                found[row] = int(logits[place].argmax()) if task.classes else float(logits[place, 0])
    return found if task.answers else np.array(found)


def _likeliest_answer(ends: Tensor, offsets: list[tuple[int, int]], text: str) -> str:
    """The likeliest span of the text: ends (2, pos) are logits of its first and last token."""
    allowed = torch.tensor([b > a for a, b in offsets])
    count = len(offsets)
    first, last = (torch.where(allowed, side[:count], torch.tensor(OUT_OF_REACH)) for side in ends)
    sums = first[:, None] + last[None, :]
    steps = torch.arange(count)[None, :] - torch.arange(count)[:, None]
    sums = sums.masked_fill((steps < 0) | (steps >= LONGEST_ANSWER), 4 * OUT_OF_REACH)
    a, b = divmod(int(sums.argmax()), count)
    return text[offsets[a][0] : offsets[b][1]] if bool(allowed[a] & allowed[b]) else ""


def _batches_of_epochs(data: EncodedExamples, recipe: FineTuneRecipe, seed: int) -> Iterator[np.ndarray]:
    """The rows of each batch, epoch after epoch: alike in length, in an order set by the seed."""
    lengths = np.array([len(row) for row in data.ids])
    for epoch in range(recipe.epochs):
        yield from epoch_batches(lengths, recipe.batch, np.random.default_rng([seed, 8, epoch]))


def weights_fingerprint(bert: Bert) -> str:
    """A name for a model's weights."""
    seen = hashlib.blake2b(digest_size=16)
    for name, tensor in sorted(bert.state_dict().items()):  # scales of int8 weights too
        seen.update(name.encode())
        seen.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return seen.hexdigest()
