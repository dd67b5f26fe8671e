"""How much of a teacher's attention a student has. Pure mathematics on arrays; knows no model and no torch.

A distance between heads (engine.inheritance.head_distances) says little by itself, for heads that look at everything
alike resemble one another; so the score sets it against a student that knows nothing:

    score = 1 - distance(student, teacher) / distance(random student, teacher)

Axes: a model's heads stand in one row, layer after layer; `layers` says of each to which layer it belongs, from 0.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from engine.learning.intervals import combined_half_width

DEFINITION = (
    "Inheritance score = 1 - d(student, teacher) / d(random student, teacher), where d is the mean Jensen-Shannon "
    "divergence (base 2) between the rows of paired heads' attention: 0 is no better than a freshly initialised "
    "student of the same shape, 1 is the same attention; below 0, further away than chance."
)
PAIRINGS = ("matched", "same_place")  # how student heads find their teacher heads: best_pairs, same_place_pairs
NEGLIGIBLE_NULL = 0.01  # bits: a random student this near leaves nothing to inherit, and the score is noise over noise
LEAST_NULL = 1e-9  # below it there is no distance at all
SHUFFLES = 200


def best_pairs(cost: np.ndarray) -> np.ndarray:
    """The one-to-one pairing with the least total cost: (a, b) -> (min(a, b), 2) indices, by the first.

    Optimal assignment (Crouse 2016), as scipy solves it.
    """
    from scipy.optimize import linear_sum_assignment  # here and not above: half a second of import

    return np.stack(linear_sum_assignment(np.asarray(cost, np.float64)), 1)


def same_place_pairs(student_layers: Sequence[int], teacher_layers: Sequence[int]) -> np.ndarray | None:
    """Each student head with the teacher head of the same number in the layer at the same relative depth.

    (pair, 2) indices; None where layers have another number of heads, for then there is no same place.
    """
    mine, theirs = (np.bincount(np.asarray(layers)) for layers in (student_layers, teacher_layers))
    depth = [max(1, round((layer + 1) * len(theirs) / len(mine))) - 1 for layer in range(len(mine))]
    if any(heads != theirs[above] for heads, above in zip(mine, depth, strict=True)):
        return None
    first = np.concatenate([[0], np.cumsum(theirs)])
    targets = [first[above] + head for heads, above in zip(mine, depth, strict=True) for head in range(heads)]
    return np.stack([np.arange(len(targets)), np.array(targets)], 1)


@dataclass(frozen=True)
class ScoreInterval:
    """A score with its 95% interval, and the two distances that it is made of."""

    score: float
    low: float  # both not a number where a single sentence tells no interval
    high: float
    distance: float  # of the student's heads from the teacher heads that they are paired with, mean
    null: float  # of the random students'

    def to_json(self) -> dict[str, float | None]:
        """Its numbers, rounded to what they are worth; None for an end that is not known."""
        return {name: None if math.isnan(value) else round(value, 5) for name, value in vars(self).items()}


@dataclass(frozen=True)
class InheritanceScore:
    """How much of its teacher's attention a student has, under one pairing of heads."""

    pairs: np.ndarray  # (pair, 2): student head, teacher head
    heads: np.ndarray  # (pair,): the score of each
    total: ScoreInterval
    layers: list[ScoreInterval | None]  # of each student layer; None where no head of it is paired


def inheritance_score(
    student: np.ndarray,
    nulls: np.ndarray,
    pairs: np.ndarray,
    layers: Sequence[int],
    matched: bool,
) -> InheritanceScore:
    """The score of a student whose heads are paired with a teacher's by `pairs` (pair, 2).

    Its 95% interval takes sentences, and random students, as what was drawn (see `_variances`).

    Args:
        student: its distances (sentence, student head, teacher head).
        nulls: those of random students of its shape (null, sentence, null head, teacher head).
        layers: of each student head its layer.
        matched: `pairs` is the best pairing of all: then each null's heads are paired as well as they can be with the
            same teacher heads, so that choosing the best is no merit by itself. Otherwise they are paired by `pairs`.
    """
    mine = student[:, pairs[:, 0], pairs[:, 1]].astype(np.float64)  # (sentence, pair)
    null = np.stack([_null_distances(one, pairs, matched) for one in nulls]).astype(np.float64)
    owners = np.asarray(layers)[pairs[:, 0]]
    parts = [np.ones(len(pairs), bool), *(owners == layer for layer in range(max(layers) + 1))]
    share = np.stack([part / max(1, part.sum()) for part in parts], 1)  # (pair, figure)
    above, below = mine @ share, null @ share  # (sentence, figure), (null, sentence, figure)
    figures = [
        _with_interval(above[:, index], below[..., index]) if part.any() else None for index, part in enumerate(parts)
    ]
    assert figures[0] is not None
    return InheritanceScore(pairs, _relative_score(mine.mean(0), null.mean((0, 1))), figures[0], figures[1:])


def random_score(nulls: np.ndarray, pairs: np.ndarray | None) -> ScoreInterval:
    """What a random student scores against the other random students: what 0 looks like, and how far chance reaches.

    `pairs`: None for the best pairing of each. The interval covers which random student it is, and the sentences.
    """
    scores, variances, apart, below = [], [], [], []
    for index, one in enumerate(nulls):
        chosen = best_pairs(one.mean(0)) if pairs is None else pairs
        others = np.delete(nulls, index, 0) if len(nulls) > 1 else nulls
        mine = one[:, chosen[:, 0], chosen[:, 1]].astype(np.float64).mean(1)
        null = np.stack([_null_distances(other, chosen, pairs is None) for other in others]).mean(2)
        scores.append(float(_relative_score(mine.mean(), null.mean())))
        variances.append(_variances(mine, null)[0])
        apart.append(float(mine.mean()))
        below.append(float(null.mean()))
    parts = [(float(np.mean(variances)), nulls.shape[1])]
    if len(scores) > 1:
        parts.append((float(np.var(scores, ddof=1)), len(scores)))
    return ScoreInterval(*_ends(float(np.mean(scores)), parts), float(np.mean(apart)), float(np.mean(below)))


def shuffled_score(student: np.ndarray, nulls: np.ndarray, seed: int = 0) -> ScoreInterval:
    """What the student scores when its heads are paired at random: how much of its score is in having the right head.

    The interval covers the pairing and the sentences, of which one fewer than there are is drawn each time: as many
    would spread less than other sentences do (Rao and Wu 1988).
    """
    rng, null = np.random.default_rng(seed), nulls.mean((0, 2))  # (sentence, teacher head)
    count = min(student.shape[1:])
    found, apart, below = [], [], []
    for _ in range(SHUFFLES):
        mine = rng.permutation(student.shape[1])[:count]
        theirs = rng.permutation(student.shape[2])[:count]
        sentences = rng.integers(0, len(student), max(1, len(student) - 1))
        above = float(student[:, mine, theirs][sentences].mean())
        under = float(null[:, theirs][sentences].mean())
        found.append(_relative_score(above, under))
        apart.append(above)
        below.append(under)
    low, high = np.percentile(found, [2.5, 97.5])
    return ScoreInterval(float(np.mean(found)), float(low), float(high), float(np.mean(apart)), float(np.mean(below)))


def head_scores(student: np.ndarray, nulls: np.ndarray) -> np.ndarray:
    """The score of every student head for every teacher head, against the mean of all random heads.

    (sentence, student head, teacher head), (null, sentence, null head, teacher head) -> (student head, teacher head).
    """
    return _relative_score(student.mean(0), nulls.mean((0, 1, 2)))


def layer_scores(
    student: np.ndarray, nulls: np.ndarray, student_layers: Sequence[int], teacher_layers: Sequence[int]
) -> np.ndarray:
    """The score of every student layer for every teacher layer, their heads paired as well as can be.

    The null is the mean over the random students' layers, paired in the same way. (student layer, teacher layer).
    """
    mine = _layer_distances(student.mean(0), student_layers, teacher_layers)
    null = np.mean([_layer_distances(one.mean(0), student_layers, teacher_layers) for one in nulls], 0)
    return _relative_score(mine, null.mean(0))


def _layer_distances(cost: np.ndarray, mine: Sequence[int], theirs: Sequence[int]) -> np.ndarray:
    found = np.empty((max(mine) + 1, max(theirs) + 1))
    for layer, other in np.ndindex(*found.shape):
        part = cost[np.asarray(mine) == layer][:, np.asarray(theirs) == other]
        pairs = best_pairs(part)
        found[layer, other] = part[pairs[:, 0], pairs[:, 1]].mean()
    return found


def _null_distances(null: np.ndarray, pairs: np.ndarray, matched: bool) -> np.ndarray:
    """(sentence, null head, teacher head) -> (sentence, pair): a random student's, for the teacher heads in `pairs`."""
    if not matched:
        return null[:, pairs[:, 0], pairs[:, 1]]
    wanted = null[:, :, pairs[:, 1]]
    copies = -(-len(pairs) // wanted.shape[1])  # a student that is still losing heads may have more than its null
    chosen = best_pairs(np.tile(wanted.mean(0), (copies, 1)).T)[:, 1] % wanted.shape[1]
    return wanted[:, chosen, np.arange(len(pairs))]


def _with_interval(mine: np.ndarray, null: np.ndarray) -> ScoreInterval:
    """A score from a student's distances (sentence,) and those of random students (null, sentence)."""
    above, below = float(mine.mean()), float(null.mean())
    variances = _variances(mine, null)
    parts = [(variances[0], len(mine)), (variances[1], len(null))]
    if len(mine) < 2:
        parts = []  # what other sentences would say is not known, however many random students there are
    return ScoreInterval(*_ends(float(_relative_score(above, below)), parts), above, below)


def _variances(mine: np.ndarray, null: np.ndarray) -> tuple[float, float]:
    """Variances of a score 1 - mean(mine) / mean(null): as sentences are drawn, and as random students are.

    The ratio linearised, student and random students seen on the same sentences; 0 for what is there once.
    """
    below = float(null.mean())
    if below <= LEAST_NULL:
        return 0.0, 0.0
    ratio = float(mine.mean()) / below
    by_sentence, by_student = (mine - ratio * null.mean(0)) / below, ratio * null.mean(1) / below
    first, second = (float(np.var(it, ddof=1)) / len(it) if len(it) > 1 else 0.0 for it in (by_sentence, by_student))
    return first, second


def _ends(score: float, parts: Sequence[tuple[float, int]]) -> tuple[float, float, float]:
    """(score, low, high) by Student's t; the ends are not a number where nothing tells an error."""
    half = combined_half_width(parts)
    return (score, math.nan, math.nan) if half is None else (score, score - half, score + half)


def _relative_score(distance: np.ndarray | float, null: np.ndarray | float) -> np.ndarray:
    """1 - distance / null; 0 where the null itself has no distance, for then there is nothing to inherit."""
    distance, null = np.asarray(distance, np.float64), np.asarray(null, np.float64)
    known = null > LEAST_NULL
    found = np.where(known, 1 - distance / np.where(known, null, 1.0), 0.0)
    return found if found.ndim else found[()]
