"""Metrics against hand-computed numbers and other formulas."""

import math

import numpy as np
import pytest

from engine.learning import metrics


def test_counts_of_a_table_of_four():
    """Harm: F1 of the wrong class, or a correlation with its sign turned."""
    predicted, true = [1] * 6 + [1] * 2 + [0] * 1 + [0] * 3, [1] * 6 + [0] * 2 + [1] * 1 + [0] * 3  # 6 2 1 3
    assert metrics.accuracy(predicted, true) == pytest.approx(9 / 12)
    assert metrics.f1(predicted, true) == pytest.approx(12 / 15)
    assert metrics.matthews(predicted, true) == pytest.approx((6 * 3 - 2 * 1) / math.sqrt(8 * 7 * 5 * 4))
    assert metrics.f1([0, 0], [0, 0]) == 0
    assert metrics.matthews([1, 1, 1], [0, 1, 1]) == 0


def test_many_classes():
    """Harm: six kinds of question scored as two."""
    predicted, true = [0, 1, 2, 2, 1], [0, 1, 2, 1, 1]
    assert metrics.f1(predicted, true) == pytest.approx((1 + 4 / 5 + 2 / 3) / 3)
    onehot_p, onehot_t = (np.eye(3)[x] - np.eye(3)[x].mean(0) for x in (predicted, true))
    expected = (onehot_p * onehot_t).sum() / math.sqrt((onehot_p**2).sum() * (onehot_t**2).sum())
    assert metrics.matthews(predicted, true) == pytest.approx(expected)  # Gorodkin's own definition


def test_correlations():
    """Harm: ranks whose ties depend on the order of the examples."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=50), rng.normal(size=50)
    assert metrics.pearson(a, b) == pytest.approx(np.corrcoef(a, b)[0, 1])
    assert metrics.spearman([1, 2, 2, 4], [10, 20, 20, 1000]) == pytest.approx(1)
    assert metrics.spearman([3, 1, 2], [1, 3, 2]) == pytest.approx(-1)
    assert metrics.spearman([1, 1, 2], [1, 2, 3]) == pytest.approx(np.corrcoef([1.5, 1.5, 3], [1, 2, 3])[0, 1])
    assert metrics.pearson([1, 1], [0, 5]) == 0


def test_answers_are_compared_as_squad_does():
    """Harm: 'The Eiffel Tower.' counts as wrong."""
    true = [("Eiffel Tower", "tower"), ("in 1889",)]
    assert metrics.exact_match(["The Eiffel-Tower!", "1889"], [("eiffeltower",), ("in 1889",)]) == 0.5
    assert metrics.exact_match(["the eiffel  tower.", "1889"], true) == 0.5
    assert metrics.answer_f1(["the eiffel  tower.", "1889"], true) == pytest.approx((1 + 2 / 3) / 2)
    assert metrics.answer_f1(["", "x"], [("",), ("y",)]) == 0.5
