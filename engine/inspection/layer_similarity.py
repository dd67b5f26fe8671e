"""How alike layers are: distance, cosine and angle between vectors of one width, and CKA between any two layers.

`layer_movement` says how far each layer of a model moves its input. `linear_cka` says how far two layers, of any width,
hold the same up to rotation and scale (Kornblith et al., Similarity of Neural Network Representations Revisited, arXiv
1905.00414). Its estimator is the unbiased one of Song et al. (2012, Feature Selection via Dependence Maximization,
HSIC_1), averaged over minibatches before the ratio is taken (Nguyen et al., arXiv 2010.15327): the plain one is near 1
for anything once a layer is as wide as there are tokens. Pure mathematics on arrays; knows no model and no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from engine.learning.intervals import jackknife_half_width

MINIBATCH = 256  # tokens
LEAST_TOKENS = 4  # tokens that HSIC_1 needs


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


def layer_movement(hidden: np.ndarray) -> dict[str, np.ndarray]:
    """What each layer does to its input: (layer + 1, pos, hidden) -> arrays (layer, pos).

    "l2" is the Euclidean distance between a layer's input and output, "cosine" their cosine, "angle" that in degrees.

    Raises:
        ValueError: fewer than two states, or not three axes.
    """
    if hidden.ndim != 3 or len(hidden) < 2:
        raise ValueError(f"layer_movement needs (layer + 1, pos, hidden) with at least one layer, got {hidden.shape}.")
    before, after = hidden[:-1], hidden[1:]
    return {
        "l2": l2_distance(before, after),
        "cosine": cosine_similarity(before, after),
        "angle": angle(before, after),
    }


@dataclass(frozen=True)
class LayerCka:
    """CKA between all layers of two models."""

    values: np.ndarray  # (layer of a, layer of b); 1: the same up to rotation and scale, 0: nothing in common
    low: np.ndarray  # 95% interval of each, minibatches being what was drawn; not a number for a single one
    high: np.ndarray
    tokens: int


def linear_cka(a: np.ndarray, b: np.ndarray, minibatch: int = MINIBATCH, seed: int = 0) -> LayerCka:
    """Unbiased linear CKA between the layers of `a` (layer, token, hidden) and `b` (layer, token, other hidden).

    The same tokens in the same order; they are shuffled by `seed` and cut into minibatches. Where a layer does not vary
    at all there is nothing to compare, and the value is 0.

    Raises:
        ValueError: not three axes, other tokens in `b`, or too few.
    """
    if a.ndim != 3 or b.ndim != 3 or a.shape[1] != b.shape[1] or a.shape[1] < LEAST_TOKENS:
        raise ValueError(
            f"CKA needs (layer, token, hidden) of the same tokens, at least {LEAST_TOKENS} of them, got {a.shape} and "
            f"{b.shape}."
        )
    order = np.random.default_rng(seed).permutation(a.shape[1])
    parts = np.array_split(order, max(1, min(len(order) // LEAST_TOKENS, round(len(order) / minibatch))))
    crossed, within_a, within_b = (
        np.array(found) for found in zip(*(_all_hsic(a[:, part], b[:, part]) for part in parts), strict=True)
    )
    sums = (crossed.sum(0), within_a.sum(0), within_b.sum(0))
    values = _ratio(*sums)
    left_out = [
        _ratio(*(total - part for total, part in zip(sums, one, strict=True)))
        for one in zip(crossed, within_a, within_b, strict=True)
    ]
    half = jackknife_half_width(np.stack(left_out))
    return LayerCka(values, values - half, np.minimum(values + half, 1.0), a.shape[1])


def _ratio(crossed: np.ndarray, within_a: np.ndarray, within_b: np.ndarray) -> np.ndarray:
    scale = np.sqrt(np.maximum(within_a, 0)[:, None] * np.maximum(within_b, 0)[None])
    return np.where(scale > 0, crossed / np.where(scale > 0, scale, 1.0), 0.0)


def _all_hsic(a: np.ndarray, b: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """HSIC_1 of every layer of `a` (layer, n, hidden) with every one of `b`, of each of `a` with itself, and of `b`."""
    k, k_sums, k_all = _grams(a)
    m, m_sums, m_all = _grams(b)

    def hsic(trace: np.ndarray, sums: np.ndarray, all_of: np.ndarray) -> np.ndarray:
        n = a.shape[1]
        return (trace + all_of / ((n - 1) * (n - 2)) - 2 * sums / (n - 2)) / (n * (n - 3))

    return (
        hsic(k @ m.T, k_sums @ m_sums.T, k_all[:, None] * m_all[None]),
        hsic(np.square(k).sum(1), np.square(k_sums).sum(1), k_all**2),
        hsic(np.square(m).sum(1), np.square(m_sums).sum(1), m_all**2),
    )


def _grams(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each layer its Gram matrix without the diagonal, flat (layer, n * n), its row sums (layer, n), its sum."""
    x = np.asarray(x, np.float64)
    x = x - x.mean(1, keepdims=True)  # changes no HSIC_1, and keeps large means from eating digits
    grams = x @ x.transpose(0, 2, 1)
    places = np.arange(grams.shape[1])
    grams[:, places, places] = 0.0
    sums = grams.sum(2)
    return grams.reshape(len(x), -1), sums, sums.sum(1)
