"""Whether two relations between student heads and teacher heads agree. Pure mathematics on arrays; knows no model.

Ancestry says what a head is made of, likeness how alike two heads look at the same words. Both are matrices (student
head, teacher head), one a layer. Their ranks are correlated within each student head: of the teacher's heads, does it
behave most like those that it has most of?
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.inspection.attention_divergence import content_only, jensen_shannon
from engine.learning.intervals import mean_interval, rank_correlation_interval

SHUFFLES = 4000  # of a null


class KinshipError(ValueError):
    """Matrices that cannot be compared, in one sentence."""


@dataclass(frozen=True)
class Kinship:
    """How far ancestry and behaviour go together."""

    correlation: float  # mean over student heads of Spearman's rank correlation within each, -1 to 1
    low: float  # its 95% interval, student heads being what was drawn; -1 to 1 for a single one
    high: float
    null_low: float  # where 95% of the correlations lie when the teacher's heads of each layer change places by lot
    null_high: float
    p: float  # share of such draws whose correlation is at least as high
    matched: float  # 0-1: student heads whose chief ancestor is also the teacher head that they are most like
    matched_by_chance: float
    chief_only: float  # the correlation if every chief ancestor came first and the order of the others meant nothing
    heads: int  # student heads that count: a row of equal numbers has no ranks


def kinship(ancestry: Sequence[np.ndarray], likeness: Sequence[np.ndarray], seed: int = 0) -> Kinship:
    """Rank correlation of two lists of matrices (student head, teacher head), one a layer, with interval and null.

    The interval is of a mean over student heads (Student's t). The null leaves both as they are and lets the teacher's
    heads of a layer change places, for all of the layer's student heads alike: what similar columns alone would give.

    Raises:
        KinshipError: the matrices do not fit, or no head has two different values to rank.
    """
    if len(ancestry) != len(likeness) or any(a.shape != b.shape for a, b in zip(ancestry, likeness, strict=True)):
        got = [[part.shape for part in parts] for parts in (ancestry, likeness)]
        raise KinshipError(f"Ancestry and likeness need matrices of the same sizes, got {got[0]} and {got[1]}.")
    rng = np.random.default_rng(seed)
    rows: list[float] = []
    hits: list[bool] = []
    sizes: list[int] = []  # of each row
    null = np.zeros(SHUFFLES)
    for a, b in zip(ancestry, likeness, strict=True):
        one, other = _standard_ranks(np.asarray(a, np.float64)), _standard_ranks(np.asarray(b, np.float64))
        counts = one.any(1) & other.any(1)
        one, other = one[counts], other[counts]
        rows += list((one * other).sum(1))
        hits += list(a[counts].argmax(1) == b[counts].argmax(1))
        sizes += [a.shape[1]] * int(counts.sum())
        places = rng.permuted(np.tile(np.arange(a.shape[1]), (SHUFFLES, 1)), axis=1)
        null += (one.T @ other)[places, np.arange(a.shape[1])].sum(1)
    if not rows:
        raise KinshipError("There is nothing to rank: every head has one possible ancestor, or all are alike to it.")
    found = np.array(rows)
    correlation, null = float(found.mean()), null / len(found)
    half = mean_interval(rows)
    low, high = (-1.0, 1.0) if half is None else (max(-1.0, correlation - half), min(1.0, correlation + half))
    return Kinship(
        correlation,
        low,
        high,
        *_interval(null),
        _p_value(null, correlation),
        float(np.mean(hits)),
        float(np.mean([1 / size for size in sizes])),
        float(np.mean([3 / (size + 1) for size in sizes])),
        len(found),
    )


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rank correlation of two lists of numbers."""

    value: float  # -1 to 1
    low: float  # its 95% interval
    high: float
    null_low: float  # where 95% lie when one list is shuffled
    null_high: float
    p: float  # share of shuffles whose correlation is at least as high
    pairs: int


def rank_correlation(x: np.ndarray, y: np.ndarray, seed: int = 0) -> RankCorrelation:
    """Spearman's correlation of `x` (n,) and `y` (n,) with its interval and a permutation null.

    Raises:
        KinshipError: not two lists of at least three numbers, or all numbers of one are equal.
    """
    x, y = np.asarray(x, np.float64), np.asarray(y, np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(x) < 3 or not np.ptp(x) or not np.ptp(y):
        raise KinshipError(
            f"A rank correlation needs two lists of at least three numbers that differ, got {x.shape} and {y.shape}."
        )
    rng = np.random.default_rng(seed)
    one, other = _standard_ranks(x[None])[0], _standard_ranks(y[None])[0]
    value = float(one @ other)
    null = one[rng.permuted(np.tile(np.arange(len(x)), (SHUFFLES, 1)), axis=1)] @ other
    low, high = rank_correlation_interval(value, len(x))
    return RankCorrelation(value, low, high, *_interval(null), _p_value(null, value), len(x))


def _interval(drawn: np.ndarray) -> tuple[float, float]:
    """Between which values 95% of `drawn` lie."""
    low, high = np.percentile(drawn, (2.5, 97.5))
    return float(low), float(high)


def _p_value(null: np.ndarray, value: float) -> float:
    """The share of `null` that is at least `value`, the value itself counted as one of them: never 0."""
    return float((np.sum(null >= value - 1e-12) + 1) / (len(null) + 1))


def attention_likeness(
    student: Sequence[np.ndarray], teacher: Sequence[np.ndarray], kept: Sequence[np.ndarray]
) -> np.ndarray:
    """(student head, teacher head) 0-1: 1 minus the Jensen-Shannon divergence (bits) of two heads' attention, the mean.

    `student`, `teacher`: (head, pos, pos) of one layer, a sentence each; `kept` (pos,) bool: the words that are looked
    from and at; what goes to others is left out, and the rest scaled to sum to 1.
    """
    total, words = 0.0, 0
    for one, other, keep in zip(student, teacher, kept, strict=True):
        p, q = (content_only(np.asarray(maps, np.float64), keep) for maps in (one, other))
        divergence = jensen_shannon(p[:, None], q[None])  # (student head, teacher head, word)
        total, words = total + divergence.sum(-1), words + len(p[0])
    return 1 - np.asarray(total) / max(1, words)


def _standard_ranks(matrix: np.ndarray) -> np.ndarray:
    """Ranks within each row, equal values sharing the mean of theirs, centred and of length 1; 0 where all are equal.

    The inner product of two such rows is Spearman's correlation.
    """
    below = (matrix[:, None, :] < matrix[:, :, None]).sum(2)
    equal = (matrix[:, None, :] == matrix[:, :, None]).sum(2)
    ranks = below + (equal - 1) / 2
    ranks = ranks - ranks.mean(1, keepdims=True)
    length = np.linalg.norm(ranks, axis=1, keepdims=True)
    return ranks / np.where(length > 0, length, 1.0)
