"""A labelled task where a corpus would stand: batches of texts with their classes, the test set held out.

A batch is a pure function of the seed and the step, as in corpora.py.
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

from engine.encoded import SORTED_BATCHES, Encoded, encode, framed
from engine.labelled import Task, TaskError
from engine.masking import Batch


@dataclass(frozen=True)
class TaskBatch(Batch):
    """Texts with nothing hidden. `positions` are those of [CLS], one a row, and `targets` the rows' classes."""

    types: Tensor  # (batch, pos) int64

    def parts(self, count: int) -> list[Batch]:
        """As Batch.parts; each part keeps the types of its rows."""
        edges = [len(self.ids) * index // count for index in range(count + 1)]
        return [
            TaskBatch(part.ids, part.visible, part.positions, part.targets, self.types[a:b])
            for part, (a, b) in zip(super().parts(count), itertools.pairwise(edges), strict=True)
        ]


@dataclass(frozen=True, eq=False)  # hashed by identity: the order of an epoch is cached
class TaskData:
    """A task's examples as tokens."""

    name: str
    task: Task
    train: Encoded
    validation: Encoded
    test: Encoded
    tokenizer: Any

    @property
    def rows(self) -> list[list[int]]:
        """The training examples' tokens."""
        return self.train.ids

    def batch(self, step: int, size: int, seed: int) -> TaskBatch:
        """The training batch of `step` (from 0): every example once an epoch, in an order set by `seed`."""
        epochs, places = np.divmod(np.arange(step * size, (step + 1) * size), len(self.train))
        chosen = [self._order(size, seed, int(epoch))[place] for epoch, place in zip(epochs, places, strict=True)]
        return self._framed(self.train, np.array(chosen))

    @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as its run
    def _order(self, size: int, seed: int, epoch: int) -> np.ndarray:
        """The examples of one epoch, in whole batches alike in length; what is left over comes last."""
        rng, window = np.random.default_rng([seed, 9, epoch]), SORTED_BATCHES * size
        order = rng.permutation(len(self.train))
        whole, lengths = len(order) // size * size, np.array([len(row) for row in self.train.ids])
        for start in range(0, whole, window):
            rows = order[start : min(start + window, whole)]
            order[start : start + len(rows)] = rows[np.argsort(lengths[rows], kind="stable")]
        batches = order[:whole].reshape(-1, size)
        return np.concatenate([batches[rng.permutation(len(batches))].ravel(), order[whole:]])

    def held_out_batches(self, size: int = 64) -> Iterator[TaskBatch]:
        """The test set, the same in every run, so that scores compare."""
        order = np.argsort([len(row) for row in self.test.ids], kind="stable")
        yield from (self._framed(self.test, order[start : start + size]) for start in range(0, len(order), size))

    def _framed(self, data: Encoded, rows: np.ndarray) -> TaskBatch:
        ids, visible, types = framed(data, rows, self.tokenizer.pad_token_id)
        positions = torch.arange(len(rows)) * ids.shape[1]
        return TaskBatch(ids, visible, positions, data.targets[torch.from_numpy(rows)], types)


def open_task(task: Task, tokenizer: Any, length: int) -> TaskData:
    """The examples of `task`, cut to at most `length` tokens.

    Raises:
        TaskError: its data cannot be had, or a split is empty.
    """
    splits = task.load()
    train, validation, test = (
        encode(part, task, tokenizer, length) for part in (splits.train, splits.validation, splits.test)
    )
    if not (len(train) and len(validation) and len(test)):
        raise TaskError(f"The task {task.name} lacks examples: it needs some to learn from, to choose by and to test.")
    return TaskData(task.name, task, train, validation, test, tokenizer)
