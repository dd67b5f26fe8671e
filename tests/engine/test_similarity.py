"""Distances and angles between layers, against plain loops and numbers worked out by hand."""

import math

import numpy as np
import pytest

from engine.similarity import angle, cosine_similarity, l2_distance, layer_steps


def test_known_numbers() -> None:
    """Harm: a distance or an angle is off by a square root or a factor."""
    a, b = np.array([3.0, 0.0]), np.array([0.0, 4.0])
    assert l2_distance(a, b) == pytest.approx(5)
    assert cosine_similarity(a, b) == pytest.approx(0)
    assert angle(a, b) == pytest.approx(90)
    assert angle(a, a + [0, 3]) == pytest.approx(45)
    assert angle(a, -a) == pytest.approx(180)


def test_zero_vectors_and_rounding_do_not_give_nan() -> None:
    """Harm: one dead token turns a whole line of the chart into nothing."""
    zero, tiny = np.zeros(3), np.array([1e-30, 0, 0])
    assert cosine_similarity(zero, tiny) == 0
    same = np.full(7, 1 / 3, dtype=np.float32)
    assert angle(same, same) == pytest.approx(0, abs=1e-5)
    assert np.isfinite(angle(same, same * 1.0000001))


def test_layer_steps_equal_a_plain_loop() -> None:
    """Harm: a layer is compared with the wrong neighbour, or tokens are mixed."""
    hidden = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    steps = layer_steps(hidden)
    for layer in range(3):
        for pos in range(5):
            before, after = hidden[layer, pos].tolist(), hidden[layer + 1, pos].tolist()
            distance = math.sqrt(sum((x - y) ** 2 for x, y in zip(before, after, strict=True)))
            dot = sum(x * y for x, y in zip(before, after, strict=True))
            cosine = dot / math.sqrt(sum(x * x for x in before)) / math.sqrt(sum(y * y for y in after))
            assert steps["l2"][layer, pos] == pytest.approx(distance, rel=1e-6)
            assert steps["cosine"][layer, pos] == pytest.approx(cosine, rel=1e-6)
            assert steps["angle"][layer, pos] == pytest.approx(math.degrees(math.acos(cosine)), rel=1e-6)


def test_what_has_no_layers_is_refused() -> None:
    """Harm: an empty chart, or an axis taken for another, without a word."""
    with pytest.raises(ValueError, match="at least one layer"):
        layer_steps(np.zeros((1, 5, 6)))
    with pytest.raises(ValueError, match="got"):
        layer_steps(np.zeros((5, 6)))
