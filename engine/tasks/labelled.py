"""What labelled data is: examples, fixed splits, and the task that they make."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.learning.metrics import METRICS

VALIDATION, TEST = 0.1, 0.1  # shares of the examples where nobody fixed a split


class TaskError(ValueError):
    """Labelled data that cannot be had, in one sentence."""


@dataclass(frozen=True)
class Example:
    """One labelled text, or pair of texts."""

    text: str
    second: str = ""
    label: Any = 0  # a class's index; a number to be predicted; or (start, end) of an answer in `second`, in characters
    answers: tuple[str, ...] = ()  # all true answers, where an answer is asked for


@dataclass(frozen=True)
class Splits:
    """Examples to learn from, to choose by and to be scored by."""

    train: list[Example]
    validation: list[Example]
    test: list[Example]


@dataclass(frozen=True)
class Task:
    """A way to score a model on labelled data."""

    name: str
    label: str
    about: str
    load: Callable[[], Splits]
    classes: tuple[str, ...]  # empty: a number is predicted, or an answer found
    metrics: tuple[str, ...]  # the first one decides
    answers: bool = False  # True: an answer is found in the second text

    def score(self, predicted: Any, examples: list[Example]) -> dict[str, float]:
        """Every metric of the predictions: class indices, numbers, or answers."""
        true = [example.answers if self.answers else example.label for example in examples]
        return {name: METRICS[name](predicted, true) for name in self.metrics}

    def baseline(self, splits: Splits) -> dict[str, float]:
        """Every metric of always saying what is most frequent (or, of numbers, the mean) in training."""
        if self.answers:
            return self.score(["" for _ in splits.test], splits.test)
        labels = [example.label for example in splits.train]
        usual = Counter(labels).most_common(1)[0][0] if self.classes else sum(labels) / len(labels)
        return self.score([usual] * len(splits.test), splits.test)


def split_by_hash(examples: list[Example]) -> Splits:
    """Examples dealt 80/10/10 by a hash of their text, label by label; the same on every machine."""
    parts: tuple[list[Example], list[Example], list[Example]] = ([], [], [])
    examples = without_duplicates(examples)
    for label in sorted({example.label for example in examples}):
        alike = sorted((example for example in examples if example.label == label), key=_hash_of_text)
        test, validation = round(TEST * len(alike)), round(VALIDATION * len(alike))
        for part, some in zip(
            parts, (alike[test + validation :], alike[test : test + validation], alike[:test]), strict=True
        ):
            part.extend(some)
    return Splits(*(sorted(part, key=_hash_of_text) for part in parts))


def hold_back_validation(train: list[Example], test: list[Example]) -> Splits:
    """An official test set, and a tenth of the training set by hash and label to choose by; no text in two of them."""
    texts = {_normalised_texts(example) for example in test}
    rest = [example for example in without_duplicates(train) if _normalised_texts(example) not in texts]
    learn, choose = [], []
    numbers = any(isinstance(example.label, float) for example in rest)
    for label in [None] if numbers else sorted({example.label for example in rest}):
        alike = sorted((example for example in rest if label is None or example.label == label), key=_hash_of_text)
        count = round(VALIDATION * len(alike))
        choose += alike[:count]
        learn += alike[count:]
    return Splits(sorted(learn, key=_hash_of_text), sorted(choose, key=_hash_of_text), test)


def without_duplicates(examples: list[Example]) -> list[Example]:
    """The first of every text; texts that stand there with two labels are left out."""
    labels: dict[tuple[str, str], set[Any]] = {}
    for example in examples:
        labels.setdefault(_normalised_texts(example), set()).add(example.label)
    first = {_normalised_texts(example): example for example in reversed(examples)}
    return [example for texts, example in reversed(first.items()) if len(labels[texts]) == 1]


def _normalised_texts(example: Example) -> tuple[str, str]:
    return " ".join(example.text.lower().split()), " ".join(example.second.lower().split())


def _hash_of_text(example: Example) -> bytes:
    return hashlib.blake2b("\n".join(_normalised_texts(example)).encode(), digest_size=8).digest()
