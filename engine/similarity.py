"""How far hidden states move from layer to layer. Pure mathematics on arrays; knows no model.

ALBERT (arXiv 1909.11942), Figure 1, draws both measures between the input and the output embedding of each layer.
"""

from __future__ import annotations

import numpy as np


def l2_distance(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Euclidean distance between vectors: (..., hidden) and (..., hidden) -> (...)."""
    return np.linalg.norm(np.asarray(a, np.float64) - np.asarray(b, np.float64), axis=-1)


def cosine_similarity(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine between vectors, -1 to 1: (..., hidden) and (..., hidden) -> (...); 0 where a vector is zero."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    return np.clip(np.sum(a * b, axis=-1) / np.where(lengths == 0, 1.0, lengths), -1.0, 1.0)


def angle(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The angle between vectors in degrees, 0 to 180: the cosine as ALBERT's figure shows it."""
    return np.degrees(np.arccos(cosine_similarity(a, b)))


def layer_steps(hidden: np.ndarray) -> dict[str, np.ndarray]:
    """What each layer does to its input: (layer + 1, pos, hidden) -> arrays (layer, pos).

    "l2" is the Euclidean distance between a layer's input and output, "cosine" their cosine, "angle" that in degrees.

    Raises:
        ValueError: fewer than two states, or not three axes.
    """
    if hidden.ndim != 3 or len(hidden) < 2:
        raise ValueError(f"layer_steps needs (layer + 1, pos, hidden) with at least one layer, got {hidden.shape}.")
    before, after = hidden[:-1], hidden[1:]
    return {
        "l2": l2_distance(before, after),
        "cosine": cosine_similarity(before, after),
        "angle": angle(before, after),
    }
