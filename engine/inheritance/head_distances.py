"""How far apart heads are by where they look. Pure mathematics on arrays; knows no model and no torch.

The Jensen-Shannon divergence (Lin 1991) between two heads' rows, in bits, 0 (the same) to 1 (apart), or 1 - the cosine
of the rows, over the positions that count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

MEASURES = ("divergence", "cosine")  # the second as a distance, 1 - cosine
TINY = 1e-30  # added to probabilities: keeps a logarithm from being taken of nothing, too small to count


class InheritanceError(ValueError):
    """Attention that cannot be compared, in one sentence."""


def content_only(attention: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Attention among the positions that `keep` (pos,) bool names, each row summing to 1 again.

    (..., pos, pos) -> (..., n, n) float32. A row that gave them nothing says nothing: it becomes uniform.
    """
    inner = np.asarray(attention, np.float32)[..., keep, :][..., :, keep]
    total = inner.sum(-1, keepdims=True)
    return np.where(total > 0, inner / np.where(total > 0, total, 1), np.float32(1 / max(1, inner.shape[-1])))


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence in bits of distributions: (..., n) and (..., n) -> (...), 0 to 1 (Lin 1991)."""
    middle = (np.asarray(p, np.float64) + q) / 2
    return np.clip(_plogp(middle) * -1 + (_plogp(p) + _plogp(q)) / 2, 0.0, 1.0)


def _plogp(p: np.ndarray) -> np.ndarray:
    """Sum of p log2 p over the last axis."""
    p = np.asarray(p, np.float64)
    return (p * np.log2(np.where(p > 0, p, 1.0))).sum(-1)


def pair_divergences(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Mean Jensen-Shannon divergence, in bits, of the rows of every student head and every teacher head.

    (student head, n, n) and (teacher head, n, n), rows summing to 1 -> (student head, teacher head) float32.

    One teacher head at a time, in buffers that fit into a processor's cache: all pairs at once are tens of MB.
    """
    flat = [np.asarray(maps, np.float32).reshape(len(maps), -1) + np.float32(TINY) for maps in (student, teacher)]
    own = [np.einsum("hp,hp->h", maps, np.log(maps)) for maps in flat]
    mine, theirs = (maps * np.float32(0.5) for maps in flat)
    found = np.empty((len(mine), len(theirs)), np.float32)
    middle, logs = np.empty_like(mine), np.empty_like(mine)
    for head, one in enumerate(theirs):
        np.add(mine, one, out=middle)
        np.log(middle, out=logs)
        found[:, head] = (own[0] + own[1][head]) / 2 - np.einsum("hp,hp->h", middle, logs)
    return np.clip(found / np.float32(student.shape[-1] * np.log(2)), 0, 1)


def pair_cosines(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """1 - the mean cosine of the rows of every student head and every teacher head; shapes as pair_divergences."""
    rows = student.shape[-1]
    unit = []
    for maps in (student, teacher):
        maps = np.asarray(maps, np.float32)
        unit.append((maps / np.maximum(np.linalg.norm(maps, axis=-1, keepdims=True), TINY)).reshape(len(maps), -1))
    return np.clip(1 - unit[0] @ unit[1].T / rows, 0, 1)


def distances(
    student: Sequence[np.ndarray],
    teacher: Sequence[np.ndarray],
    keep: Sequence[np.ndarray],
    measure: str = "divergence",
    progress: Callable[[float], object] | None = None,
) -> np.ndarray:
    """How far every student head is from every teacher head on every sentence.

    Args:
        student, teacher: of each sentence the attention (head, pos, pos), rows summing to 1.
        keep: of each sentence which positions count (pos,) bool, at least two: among one position all look alike.
        measure: one of MEASURES.
        progress: is told shares 0-1.

    Returns:
        (sentence, student head, teacher head) float32.

    Raises:
        InheritanceError: there is no sentence, one has fewer than two positions that count, or lengths differ.
    """
    if not len(student):
        raise InheritanceError("There is no sentence to compare attention on; give at least one.")
    pairs = pair_divergences if measure == "divergence" else pair_cosines
    found = []
    for number, (mine, theirs, counts) in enumerate(zip(student, teacher, keep, strict=True), start=1):
        if not mine.shape[-1] == theirs.shape[-1] == len(counts):
            raise InheritanceError(
                f"Sentence {number} has {mine.shape[-1]} tokens for the student and {theirs.shape[-1]} for the "
                "teacher; attention can only be compared token by token."
            )
        if counts.sum() < 2:
            raise InheritanceError(f"Sentence {number} has fewer than two words; where to look is no choice among one.")
        found.append(pairs(content_only(mine, counts), content_only(theirs, counts)))
        if progress is not None:
            progress(number / len(student))
    return np.stack(found)
