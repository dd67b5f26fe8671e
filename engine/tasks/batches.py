"""Labelled examples as tokens, in padded batches. Knows no model.

`encode_examples`, `epoch_batches` and `padded_on_device` serve fine-tuning and probing. `TaskData` offers the same
examples as a training loop wants a corpus: a batch a step, and held-out batches, so that a run can learn a task.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.settings.device import Device
from engine.tasks.labelled import Example, Task, TaskError
from engine.text.masking import Batch

SORTED_BATCHES = 16  # this many batches are drawn together and sorted by length, so that little padding is computed


@dataclass(frozen=True)
class EncodedExamples:
    """Examples as tokens."""

    ids: list[list[int]]
    types: list[list[int]]
    targets: Tensor  # (example,) classes or numbers, or (example, 2) first and last token of the answer
    offsets: list[list[tuple[int, int]]]  # of answer tasks: characters of the second text; (0, 0) elsewhere
    examples: list[Example]

    def __len__(self) -> int:
        return len(self.ids)


def encode_examples(examples: list[Example], task: Task, tokenizer: Any, length: int) -> EncodedExamples:
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
            in_second = [number == 1 for number in found.sequence_ids(index)]
            offsets.append(
                [
                    pair if inside else (0, 0)
                    for pair, inside in zip(found["offset_mapping"][index], in_second, strict=True)
                ]
            )
            spans.append(_answer_tokens(offsets[-1], example.label))
    if task.answers:
        targets = torch.tensor(spans).reshape(-1, 2)
    else:
        targets = torch.tensor([example.label for example in examples], dtype=None if task.classes else torch.float32)
    return EncodedExamples(ids, types, targets, offsets, examples)


def _answer_tokens(offsets: list[tuple[int, int]], label: tuple[int, int]) -> tuple[int, int]:
    """First and last token of the characters `label`; (-1, -1), which no loss counts, where they were cut off."""
    inside = [place for place, (a, b) in enumerate(offsets) if b > a and a < label[1] and b > label[0]]
    return (inside[0], inside[-1]) if inside and offsets[inside[-1]][1] >= label[1] else (-1, -1)


def epoch_batches(lengths: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Every row of `lengths` (row,) once, in batches of `size` (one may be smaller) of rows alike in length."""
    order, window = rng.permutation(len(lengths)), SORTED_BATCHES * size
    batches: list[np.ndarray] = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[at : at + size] for at in range(0, len(rows), size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def padded_on_device(
    data: EncodedExamples, rows: np.ndarray, pad: int, device: Device
) -> tuple[Tensor, Tensor, Tensor]:
    """(ids, visible, types) (batch, pos) of some examples, as wide as the longest of them, on `device`."""
    ids, visible, types = padded_on_host(data, rows, pad)
    return ids.to(device.type), visible.to(device.type), types.to(device.type)


def padded_on_host(data: EncodedExamples, rows: np.ndarray, pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `padded_on_device`, but on the host."""
    width = max(len(data.ids[row]) for row in rows)
    ids, types = torch.full((len(rows), width), pad), torch.zeros(len(rows), width, dtype=torch.long)
    visible = torch.zeros(len(rows), width, dtype=torch.bool)
    for place, row in enumerate(rows.tolist()):
        count = len(data.ids[row])
        ids[place, :count] = torch.tensor(data.ids[row])
        types[place, :count] = torch.tensor(data.types[row])
        visible[place, :count] = True
    return ids, visible, types


@dataclass(frozen=True)
class TaskBatch(Batch):
    """Texts with nothing hidden. `positions` are those of [CLS], one a row, and `targets` the rows' classes."""

    types: Tensor  # (batch, pos) int64

    def split(self, count: int) -> list[Batch]:
        """As Batch.split; each part keeps the types of its rows."""
        edges = [len(self.ids) * index // count for index in range(count + 1)]
        return [
            TaskBatch(part.ids, part.visible, part.positions, part.targets, self.types[a:b])
            for part, (a, b) in zip(super().split(count), itertools.pairwise(edges), strict=True)
        ]


@dataclass(frozen=True, eq=False)  # hashed by identity: the order of an epoch is cached
class TaskData:
    """A task's examples as tokens."""

    name: str
    task: Task
    train: EncodedExamples
    validation: EncodedExamples
    test: EncodedExamples
    tokenizer: Any

    @property
    def rows(self) -> list[list[int]]:
        """The training examples' tokens."""
        return self.train.ids

    def batch(self, step: int, size: int, seed: int) -> TaskBatch:
        """The training batch of `step` (from 0): every example once an epoch, in an order set by `seed`."""
        epochs, places = np.divmod(np.arange(step * size, (step + 1) * size), len(self.train))
        chosen = [self._order(size, seed, int(epoch))[place] for epoch, place in zip(epochs, places, strict=True)]
        return self._batch(self.train, np.array(chosen))

    @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as its run
    def _order(self, size: int, seed: int, epoch: int) -> np.ndarray:
        """The examples of one epoch, in whole batches alike in length; what is left over comes last."""
        rng, window = np.random.default_rng([seed, 9, epoch]), SORTED_BATCHES * size
        order = rng.permutation(len(self.train))
        in_full_batches, lengths = len(order) // size * size, np.array([len(row) for row in self.train.ids])
        for start in range(0, in_full_batches, window):
            rows = order[start : min(start + window, in_full_batches)]
            order[start : start + len(rows)] = rows[np.argsort(lengths[rows], kind="stable")]
        batches = order[:in_full_batches].reshape(-1, size)
        return np.concatenate([batches[rng.permutation(len(batches))].ravel(), order[in_full_batches:]])

    def held_out_batches(self, size: int = 64) -> Iterator[TaskBatch]:
        """The test set, the same in every run, so that scores compare."""
        order = np.argsort([len(row) for row in self.test.ids], kind="stable")
        yield from (self._batch(self.test, order[start : start + size]) for start in range(0, len(order), size))

    def _batch(self, data: EncodedExamples, rows: np.ndarray) -> TaskBatch:
        ids, visible, types = padded_on_host(data, rows, self.tokenizer.pad_token_id)
        positions = torch.arange(len(rows)) * ids.shape[1]
        return TaskBatch(ids, visible, positions, data.targets[torch.from_numpy(rows)], types)


def open_task(task: Task, tokenizer: Any, length: int) -> TaskData:
    """The examples of `task`, cut to at most `length` tokens.

    Raises:
        TaskError: its data cannot be had, or a split is empty.
    """
    splits = task.load()
    train, validation, test = (
        encode_examples(part, task, tokenizer, length) for part in (splits.train, splits.validation, splits.test)
    )
    if not (len(train) and len(validation) and len(test)):
        raise TaskError(f"The task {task.name} lacks examples: it needs some to learn from, to choose by and to test.")
    return TaskData(task.name, task, train, validation, test, tokenizer)
