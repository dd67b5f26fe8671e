"""Scores of predictions. Pure numbers; knows no model.

The metrics are those of GLUE (Wang et al., arXiv 1804.07461) and of SQuAD v1.1 (Rajpurkar et al., arXiv 1606.05250).
"""

from __future__ import annotations

import collections
import math
import re
import string
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np


def accuracy(predicted: Any, true: Any) -> float:
    """Share of predictions that are true, 0 to 1."""
    return float(np.mean(np.asarray(predicted) == np.asarray(true)))


def f1(predicted: Any, true: Any) -> float:
    """F1 of class 1 when there are two classes, else the mean of all classes' (macro F1); 0 to 1."""
    predicted, true = np.asarray(predicted), np.asarray(true)
    classes = [1] if max(predicted.max(), true.max()) <= 1 else np.union1d(predicted, true)
    found = []
    for one in classes:
        both = ((predicted == one) & (true == one)).sum()
        found.append(2 * both / max(1, (predicted == one).sum() + (true == one).sum()))
    return float(np.mean(found))


def matthews(predicted: Any, true: Any) -> float:
    """Matthews' correlation, -1 to 1, for any number of classes (Gorodkin 2004); 0 where it is undefined."""
    predicted, true = np.asarray(predicted), np.asarray(true)
    classes = np.union1d(predicted, true)
    p = np.array([(predicted == one).sum() for one in classes], dtype=np.float64)
    t = np.array([(true == one).sum() for one in classes], dtype=np.float64)
    n, right = len(true), float((predicted == true).sum())
    spread = (n * n - p @ p) * (n * n - t @ t)
    return float((right * n - p @ t) / math.sqrt(spread)) if spread > 0 else 0.0


def pearson(predicted: Any, true: Any) -> float:
    """Correlation of values, -1 to 1; 0 when one side is constant."""
    a, b = (np.asarray(x, np.float64) - np.mean(x) for x in (predicted, true))
    length = math.sqrt(float(a @ a) * float(b @ b))
    return float(a @ b) / length if length > 0 else 0.0


def spearman(predicted: Any, true: Any) -> float:
    """Correlation of ranks, ties sharing their mean rank; -1 to 1."""
    return pearson(_ranks(predicted), _ranks(true))


def _ranks(values: Any) -> np.ndarray:
    _, place, count = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = count.cumsum()
    return (ends - (count - 1) / 2)[place]


def exact_match(predicted: Sequence[str], true: Sequence[Sequence[str]]) -> float:
    """Share of answers that equal one of the true ones, articles, case and punctuation aside; 0 to 1."""
    return float(
        np.mean([max(_plain(one) == _plain(p) for one in answers) for p, answers in zip(predicted, true, strict=True)])
    )


def answer_f1(predicted: Sequence[str], true: Sequence[Sequence[str]]) -> float:
    """Mean F1 of the words of an answer against the nearest of the true ones; 0 to 1."""
    return float(
        np.mean([max(_word_f1(p, one) for one in answers) for p, answers in zip(predicted, true, strict=True)])
    )


def _word_f1(predicted: str, true: str) -> float:
    one, other = _plain(predicted).split(), _plain(true).split()
    if not one or not other:
        return float(one == other)
    both = sum((collections.Counter(one) & collections.Counter(other)).values())
    return 2 * both / (len(one) + len(other))


def _plain(answer: str) -> str:
    """An answer as SQuAD compares it: lower case, without punctuation, articles and extra blanks."""
    bare = "".join(letter for letter in answer.lower() if letter not in string.punctuation)
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", bare).split())


METRICS: dict[str, Callable[[Any, Any], float]] = {
    "accuracy": accuracy,
    "f1": f1,
    "matthews": matthews,
    "pearson": pearson,
    "spearman": spearman,
    "exact match": exact_match,
    "answer f1": answer_f1,
}
