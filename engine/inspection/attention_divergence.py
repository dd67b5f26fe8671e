"""The Jensen-Shannon divergence (Lin 1991) between rows of attention, in bits: 0, the same, to 1, apart.

Pure mathematics on numpy arrays. engine.learning.closeness has the same divergence in torch, for maps that lie on an
accelerator while a model trains; a test holds the two equal.
"""

from __future__ import annotations

import numpy as np

TINY = 1e-30  # added to probabilities: keeps a logarithm from being taken of nothing, too small to count


def content_only(attention: np.ndarray, keep: np.ndarray) -> np.ndarray:
    """Attention among the positions that `keep` (pos,) bool names, each row summing to 1 again.

    (..., pos, pos) -> (..., n, n), float64 if it was, else float32. A row that gave them nothing says nothing: it
    becomes uniform.
    """
    inner = np.asarray(attention)[..., keep, :][..., :, keep]
    inner = inner if inner.dtype == np.float64 else inner.astype(np.float32)
    total = inner.sum(-1, keepdims=True)
    return np.where(total > 0, inner / np.where(total > 0, total, 1), inner.dtype.type(1 / max(1, inner.shape[-1])))


def jensen_shannon(p: np.ndarray, q: np.ndarray) -> np.ndarray:
    """Jensen-Shannon divergence in bits of distributions: (..., n) and (..., n), broadcast -> (...), 0 to 1."""
    middle = (np.asarray(p, np.float64) + q) / 2
    return np.clip((_negative_entropy(p) + _negative_entropy(q)) / 2 - _negative_entropy(middle), 0.0, 1.0)


def _negative_entropy(p: np.ndarray) -> np.ndarray:
    """Sum of p log2 p over the last axis."""
    p = np.asarray(p, np.float64)
    return (p * np.log2(np.where(p > 0, p, 1.0))).sum(-1)


def pair_divergences(student: np.ndarray, teacher: np.ndarray) -> np.ndarray:
    """Mean Jensen-Shannon divergence, in bits, of the rows of every student head and every teacher head.

    (student head, n, n) and (teacher head, n, n), rows summing to 1 -> (student head, teacher head) float32.

    As the mean of `jensen_shannon`, in float32 and faster: one teacher head at a time, in buffers that fit into a
    processor's cache, for all pairs at once are tens of MB.
    """
    flat = [np.asarray(maps, np.float32).reshape(len(maps), -1) + np.float32(TINY) for maps in (student, teacher)]
    sums = [np.einsum("hp,hp->h", maps, np.log(maps)) for maps in flat]
    mine, theirs = (maps * np.float32(0.5) for maps in flat)
    found = np.empty((len(mine), len(theirs)), np.float32)
    middle, logs = np.empty_like(mine), np.empty_like(mine)
    for head, one in enumerate(theirs):
        np.add(mine, one, out=middle)
        np.log(middle, out=logs)
        found[:, head] = (sums[0] + sums[1][head]) / 2 - np.einsum("hp,hp->h", middle, logs)
    return np.clip(found / np.float32(student.shape[-1] * np.log(2)), 0, 1)
