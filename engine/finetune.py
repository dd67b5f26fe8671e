"""A model learns a task: an encoder with a linear layer on top, trained on labelled text and chosen on validation.

Classes and numbers are read off the mean of the last hidden states, answers off each position (BERT, arXiv 1810.04805,
section 4.2). One recipe for every model, so that scores compare.
"""

from __future__ import annotations

import copy
import dataclasses
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.bert import Bert
from engine.closeness import sentence_embeddings
from engine.device import Device
from engine.labelled import Example, Splits, Task, TaskError
from engine.methods.base import adamw

SORTED_BATCHES = 16  # this many batches are drawn together and sorted by length, so that little padding is computed
LOOKS = 2  # how often an epoch is validated
LONGEST_ANSWER = 30  # tokens
OUT_OF_REACH = -1e4  # for positions that no answer can begin or end at; bfloat16 holds it


@dataclass(frozen=True)
class Recipe:
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


@dataclass(frozen=True)
class Encoded:
    """Examples as tokens."""

    ids: list[list[int]]
    types: list[list[int]]
    targets: Tensor  # (example,) classes or numbers, or (example, 2) first and last token of the answer
    offsets: list[list[tuple[int, int]]]  # of answer tasks: characters of the second text; (0, 0) elsewhere
    examples: list[Example]

    def __len__(self) -> int:
        return len(self.ids)


class TaskModel(nn.Module):
    """An encoder with a linear layer for a task."""

    def __init__(self, bert: Bert, task: Task, dropout: float, seed: int) -> None:
        super().__init__()
        self.bert, self.answers = copy.deepcopy(bert).requires_grad_(True), task.answers
        self.dropout = nn.Dropout(dropout)
        self.top = nn.Linear(bert.shape.hidden, 2 if task.answers else max(1, len(task.classes)))
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            self.top.weight.normal_(0.0, 0.02, generator=generator)
            self.top.bias.zero_()

    def forward(self, ids: Tensor, visible: Tensor, types: Tensor) -> Tensor:
        """ids, visible, types (batch, pos) -> logits (batch, class), or (batch, 2, pos) of an answer's ends."""
        known = self.bert.shape.token_types > 1
        hidden = self.bert.encode(ids, visible, types if known else None)
        if self.answers:
            return self.top(self.dropout(hidden)).transpose(1, 2)
        return self.top(self.dropout(sentence_embeddings(hidden, visible)))


def encode(examples: list[Example], task: Task, tokenizer: Any, length: int) -> Encoded:
    """Examples as [CLS] text [SEP] or [CLS] text [SEP] second [SEP], the longer text cut where both do not fit."""
    ids, types, offsets, spans = [], [], [], []
    seconds = [example.second for example in examples] if examples and examples[0].second else None
    found = tokenizer(
        [example.text for example in examples],
        seconds,
        truncation="only_second" if task.answers else "longest_first",
        max_length=length,
        return_offsets_mapping=task.answers,
        return_token_type_ids=True,
    )
    for index, example in enumerate(examples):
        ids.append(found["input_ids"][index])
        types.append(found["token_type_ids"][index])
        if task.answers:
            second = [number == 1 for number in found.sequence_ids(index)]
            offsets.append(
                [pair if own else (0, 0) for pair, own in zip(found["offset_mapping"][index], second, strict=True)]
            )
            spans.append(_span(offsets[-1], example.label))
    if task.answers:
        targets = torch.tensor(spans).reshape(-1, 2)
    else:
        targets = torch.tensor([example.label for example in examples], dtype=None if task.classes else torch.float32)
    return Encoded(ids, types, targets, offsets, examples)


def _span(offsets: list[tuple[int, int]], label: tuple[int, int]) -> tuple[int, int]:
    """First and last token of the characters `label`; (-1, -1), which no loss counts, where they were cut off."""
    inside = [place for place, (a, b) in enumerate(offsets) if b > a and a < label[1] and b > label[0]]
    return (inside[0], inside[-1]) if inside and offsets[inside[-1]][1] >= label[1] else (-1, -1)


def fine_tune(
    bert: Bert,
    tokenizer: Any,
    task: Task,
    splits: Splits,
    recipe: Recipe,
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
    parts = [encode(part, task, tokenizer, length) for part in (splits.train, splits.validation, splits.test)]
    train, validation, test = parts
    torch.manual_seed(seed)  # dropout
    model = TaskModel(bert, task, recipe.dropout, seed).to(device.type)
    if not len(train) or not len(validation) or not len(test):
        raise TaskError(f"The task {task.name} lacks examples: it needs some to learn from, to choose by and to test.")
    encoder = [p for name, p in model.named_parameters() if not name.startswith(("bert.head.", "bert.pair."))]
    optimizer = adamw([(nn.ParameterList(encoder), recipe.lr)], recipe.decay)
    steps = recipe.epochs * math.ceil(len(train) / recipe.batch)
    looks = {math.ceil(steps * (index + 1) / (recipe.epochs * LOOKS)) for index in range(recipe.epochs * LOOKS)}
    best, chosen, waited, step = -math.inf, copy.deepcopy(model.state_dict()), 0, 0
    history: list[float] = []
    rates = [group["lr"] for group in optimizer.param_groups]
    for rows in _epochs(train, recipe, seed):
        model.train()
        ids, visible, types = padded(train, rows, tokenizer.pad_token_id, device)
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
        if progress and step % 4 == 0:
            progress(step / steps)
        if step in looks:
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
    return {
        "seed": seed,
        "test": task.score(predict(model, test, task, tokenizer, device), test.examples),
        "validation": best,
        "validations": history,
        "steps": step,
        "seconds": round(time.perf_counter() - began, 1),
    }


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
def predict(model: TaskModel, data: Encoded, task: Task, tokenizer: Any, device: Device) -> Any:
    """What `model` says of every example: class indices (example,), numbers (example,), or a list of answers."""
    model.eval()
    order = np.argsort([len(row) for row in data.ids], kind="stable")
    found: list[Any] = [None] * len(data)
    for start in range(0, len(order), 64):
        rows = order[start : start + 64]
        ids, visible, types = padded(data, rows, tokenizer.pad_token_id, device)
        with device.autocast():
            logits = model(ids, visible, types).float().cpu()
        for place, row in enumerate(rows.tolist()):
            if task.answers:
                found[row] = _answer(logits[place], data.offsets[row], data.examples[row].second)
            else:
                found[row] = int(logits[place].argmax()) if task.classes else float(logits[place, 0])
    return found if task.answers else np.array(found)


def _answer(ends: Tensor, offsets: list[tuple[int, int]], text: str) -> str:
    """The likeliest span of the text: ends (2, pos) are logits of its first and last token."""
    allowed = torch.tensor([b > a for a, b in offsets])
    count = len(offsets)
    first, last = (torch.where(allowed, side[:count], torch.tensor(OUT_OF_REACH)) for side in ends)
    sums = first[:, None] + last[None, :]
    steps = torch.arange(count)[None, :] - torch.arange(count)[:, None]
    sums = sums.masked_fill((steps < 0) | (steps >= LONGEST_ANSWER), 4 * OUT_OF_REACH)
    a, b = divmod(int(sums.argmax()), count)
    return text[offsets[a][0] : offsets[b][1]] if bool(allowed[a] & allowed[b]) else ""


def _epochs(data: Encoded, recipe: Recipe, seed: int) -> Iterator[np.ndarray]:
    """The rows of each batch, epoch after epoch: alike in length, in an order set by the seed."""
    lengths = np.array([len(row) for row in data.ids])
    for epoch in range(recipe.epochs):
        rng = np.random.default_rng([seed, 8, epoch])
        order = rng.permutation(len(data))
        window, batches = SORTED_BATCHES * recipe.batch, []
        for start in range(0, len(order), window):
            rows = order[start : start + window]
            rows = rows[np.argsort(lengths[rows], kind="stable")]
            batches += [rows[at : at + recipe.batch] for at in range(0, len(rows), recipe.batch)]
        yield from (batches[index] for index in rng.permutation(len(batches)))


def padded(data: Encoded, rows: np.ndarray, pad: int, device: Device) -> tuple[Tensor, Tensor, Tensor]:
    """(ids, visible, types) (batch, pos) of some examples, as wide as the longest of them."""
    width = max(len(data.ids[row]) for row in rows)
    ids, types = torch.full((len(rows), width), pad), torch.zeros(len(rows), width, dtype=torch.long)
    visible = torch.zeros(len(rows), width, dtype=torch.bool)
    for place, row in enumerate(rows.tolist()):
        count = len(data.ids[row])
        ids[place, :count] = torch.tensor(data.ids[row])
        types[place, :count] = torch.tensor(data.types[row])
        visible[place, :count] = True
    return ids.to(device.type), visible.to(device.type), types.to(device.type)


def recipe_json(recipe: Recipe) -> dict[str, Any]:
    """The recipe as plain values."""
    return dataclasses.asdict(recipe)
