"""Metrics against hand-computed numbers and other formulas; intervals against chance itself."""

import math

import numpy as np
import pytest

from engine.learning import metrics
from engine.learning.metrics import STUDENT_T, mean_interval, retained_share, share_interval


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


def test_nineteen_of_twenty_intervals_hold_the_mean():
    """Harm: three seeds with an interval made for thirty."""
    rng = np.random.default_rng(0)
    for count in (2, 3, 5, 40):
        draws = rng.normal(0.8, 0.02, (4000, count))
        held = [abs(draw.mean() - 0.8) <= mean_interval(draw) for draw in draws]
        assert np.mean(held) == pytest.approx(0.95, abs=0.012), count
    assert mean_interval([0.5]) is None
    assert list(STUDENT_T) == sorted(STUDENT_T, reverse=True)


def test_nineteen_of_twenty_intervals_hold_what_is_retained():
    """Harm: 'keeps 98.9%' for what chance alone would give."""
    rng, held = np.random.default_rng(1), []
    for _ in range(3000):
        student, teacher = rng.normal(0.72, 0.01, 5), rng.normal(0.80, 0.01, 5)
        ratio, width = retained_share(student, teacher)
        held.append(abs(ratio - 0.9) <= width)
    assert np.mean(held) >= 0.94
    assert retained_share([0.4], [0.8]) == (0.5, None)
    assert retained_share([0.4], [0.0]) == (0.0, None)


@pytest.mark.parametrize(("chance", "words"), [(0.65, 2500), (0.05, 400), (0.5, 100)])
def test_nineteen_of_twenty_intervals_hold_the_truth(chance, words):
    """Harm: an interval too narrow to warn of noise, or too wide to show a difference."""
    right = np.random.default_rng(0).binomial(words, chance, 2000) / words
    held = [abs(found - chance) <= share_interval(found, words) for found in right.tolist()]
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)
