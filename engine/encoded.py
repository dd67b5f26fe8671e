"""Labelled examples as tokens, and which of them make a batch. Knows no model."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.device import Device
from engine.labelled import Example, Task

SORTED_BATCHES = 16  # this many batches are drawn together and sorted by length, so that little padding is computed


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


def epoch_batches(lengths: np.ndarray, size: int, rng: np.random.Generator) -> list[np.ndarray]:
    """Every row of `lengths` (row,) once, in batches of `size` (one may be smaller) of rows alike in length."""
    order, window = rng.permutation(len(lengths)), SORTED_BATCHES * size
    batches: list[np.ndarray] = []
    for start in range(0, len(order), window):
        rows = order[start : start + window]
        rows = rows[np.argsort(lengths[rows], kind="stable")]
        batches += [rows[at : at + size] for at in range(0, len(rows), size)]
    return [batches[index] for index in rng.permutation(len(batches))]


def padded(data: Encoded, rows: np.ndarray, pad: int, device: Device) -> tuple[Tensor, Tensor, Tensor]:
    """(ids, visible, types) (batch, pos) of some examples, as wide as the longest of them, on `device`."""
    ids, visible, types = framed(data, rows, pad)
    return ids.to(device.type), visible.to(device.type), types.to(device.type)


def framed(data: Encoded, rows: np.ndarray, pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """As `padded`, on the host."""
    width = max(len(data.ids[row]) for row in rows)
    ids, types = torch.full((len(rows), width), pad), torch.zeros(len(rows), width, dtype=torch.long)
    visible = torch.zeros(len(rows), width, dtype=torch.bool)
    for place, row in enumerate(rows.tolist()):
        count = len(data.ids[row])
        ids[place, :count] = torch.tensor(data.ids[row])
        types[place, :count] = torch.tensor(data.types[row])
        visible[place, :count] = True
    return ids, visible, types
