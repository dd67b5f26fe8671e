"""How far apart heads are by where they look, every student head and every teacher head on every sentence.

Pure mathematics on arrays; knows no model and no torch. The distance is the mean Jensen-Shannon divergence of two
heads' rows, in bits, or 1 - the mean cosine of the rows, over the positions that count.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from engine.inspection.attention_divergence import TINY, content_only, pair_divergences

HEAD_DISTANCES = ("divergence", "cosine")  # the second as a distance, 1 - cosine


class InheritanceError(ValueError):
    """Attention that cannot be compared, in one sentence."""


def pair_cosines(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """1 - the mean cosine of the rows of every student head and every teacher head; shapes as pair_divergences."""
    rows = student.shape[-1]
    unit = []
    for maps in (student, teacher):
        maps = np.asarray(maps, np.float32)
        unit.append((maps / np.maximum(np.linalg.norm(maps, axis=-1, keepdims=True), TINY)).reshape(len(maps), -1))
    return np.clip(1 - unit[0] @ unit[1].T / rows, 0, 1)


def head_distances(
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
