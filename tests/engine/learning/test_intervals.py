"""Intervals against scipy's, and against chance itself: nineteen of twenty must hold the truth, however few values."""

import numpy as np
import pytest
from scipy import stats

from engine.learning.intervals import (
    clustered_interval,
    clustered_share_interval,
    combined_half_width,
    jackknife_half_width,
    mean_interval,
    rank_correlation_interval,
    ratio_interval,
    retained_share,
    share_interval,
)


@pytest.mark.parametrize("count", [2, 3, 12, 32, 200])
def test_an_interval_of_a_mean_is_scipys(count) -> None:
    """Harm: an interval of 32 values that is 4% too narrow, of three that is half as wide as it should be."""
    values = np.random.default_rng(count).normal(size=count)
    low, high = stats.t.interval(0.95, count - 1, loc=values.mean(), scale=stats.sem(values))
    assert mean_interval(values) == pytest.approx((high - low) / 2, rel=1e-9)
    assert clustered_interval(values, np.arange(count)) == pytest.approx((high - low) / 2, rel=1e-9)
    assert combined_half_width([(stats.sem(values) ** 2, count)]) == pytest.approx((high - low) / 2, rel=1e-9)
    left_out = np.array([np.delete(values, index).mean() for index in range(count)])
    assert jackknife_half_width(left_out) == pytest.approx((high - low) / 2, rel=1e-9)


@pytest.mark.parametrize(("right", "count"), [(0, 10), (10, 10), (1, 10), (3, 8), (50, 100), (0, 1), (1, 1)])
def test_an_interval_of_a_share_is_wilsons(right, count) -> None:
    """Harm: none of ten right, and so certainly none of all."""
    expected = stats.binomtest(right, count).proportion_ci(0.95, method="wilson")
    low, high = share_interval(right / count, count)
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)
    assert low <= right / count <= high
    assert high - low > 0.01


def test_nothing_counted_leaves_everything_open() -> None:
    """Harm: an empty test set ends in a division by zero."""
    assert share_interval(0.0, 0) == (0.0, 1.0)
    assert ratio_interval(np.array([3.0]), np.array([4])) is None
    assert clustered_interval(np.ones(5), np.zeros(5)) is None
    assert clustered_share_interval(np.array([0.0]), np.array([4])) == share_interval(0.0, 1.0)
    assert combined_half_width([(0.0, 1), (3.0, 1)]) is None
    assert np.isnan(jackknife_half_width(np.ones((1, 3)))).all()


def test_nineteen_of_twenty_intervals_hold_the_mean():
    """Harm: three seeds with an interval made for thirty."""
    rng = np.random.default_rng(0)
    for count in (2, 3, 5, 40):
        draws = rng.normal(0.8, 0.02, (4000, count))
        held = [abs(draw.mean() - 0.8) <= mean_interval(draw) for draw in draws]
        assert np.mean(held) == pytest.approx(0.95, abs=0.012), count
    assert mean_interval([0.5]) is None


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


@pytest.mark.parametrize(("chance", "words"), [(0.65, 2500), (0.05, 400), (0.5, 100), (0.02, 60), (0.98, 40)])
def test_nineteen_of_twenty_intervals_hold_the_truth(chance, words) -> None:
    """Harm: an interval too narrow to warn of noise, or too wide to show a difference."""
    right = np.random.default_rng(0).binomial(words, chance, 2000) / words
    held = [low <= chance <= high for low, high in (share_interval(found, words) for found in right.tolist())]
    assert np.mean(held) == pytest.approx(0.95, abs=0.03)


@pytest.mark.parametrize(("chance", "alike"), [(0.5, 0.0), (0.1, 0.0), (0.3, 0.6)])
def test_words_of_one_row_are_no_independent_questions(chance, alike) -> None:
    """Harm: nine words of a row count as nine witnesses though they are right or wrong together."""
    rng, held, plain = np.random.default_rng(2), [], []
    for _ in range(2000):
        counts = rng.integers(5, 15, 40)
        same = rng.random(40) < chance
        right = np.array(
            [
                sum(same[row] if rng.random() < alike else rng.random() < chance for _ in range(counts[row]))
                for row in range(40)
            ]
        )
        low, high = clustered_share_interval(right, counts)
        held.append(low <= chance <= high)
        low, high = share_interval(right.sum() / counts.sum(), counts.sum())
        plain.append(low <= chance <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)
    assert alike == 0 or np.mean(plain) < 0.8


def test_no_row_right_is_no_certainty() -> None:
    """Harm: an accuracy of 0.0% ± 0.0, over ten rows."""
    low, high = clustered_share_interval(np.zeros(10), np.full(10, 3))
    assert low == 0
    assert high > 0.25  # Wilson's for 0 of 10 is 0.278, Student's t widens it
    low, high = clustered_share_interval(np.full(10, 3), np.full(10, 3))
    assert high == 1
    assert low < 0.75


@pytest.mark.parametrize(("truth", "pairs"), [(0.0, 12), (0.6, 20), (-0.8, 30)])
def test_nineteen_of_twenty_intervals_hold_a_rank_correlation(truth, pairs) -> None:
    """Harm: twelve heads that agree by chance are said to be kin."""
    rng = np.random.default_rng(3)
    population = 6 / np.pi * np.arcsin(truth / 2)  # Spearman's of a bivariate normal (Pearson 1907)
    held = []
    for _ in range(2000):
        x = rng.normal(size=pairs)
        y = truth * x + np.sqrt(1 - truth**2) * rng.normal(size=pairs)
        low, high = rank_correlation_interval(stats.spearmanr(x, y).statistic, pairs)
        held.append(low <= population <= high)
    assert np.mean(held) == pytest.approx(0.95, abs=0.02)
    assert rank_correlation_interval(1.0, 3) == (-1.0, 1.0)


def test_the_widest_of_two_errors_counts_its_own_values() -> None:
    """Harm: three random students lend their doubt the certainty of thirty sentences."""
    from engine.learning.intervals import t_quantile

    assert combined_half_width([(1.0, 3), (1e-9, 1000)]) == pytest.approx(t_quantile(2), rel=1e-3)
    assert combined_half_width([(1e-9, 3), (1.0, 31)]) == pytest.approx(t_quantile(30), rel=1e-3)
    both = combined_half_width([(1.0, 3), (1.0, 31)])
    assert 2**0.5 * t_quantile(30) < both < 2**0.5 * t_quantile(2)


def test_interval_counts_stories_not_words() -> None:
    """Harm: ten words of one story count as ten witnesses, and the interval is three times too narrow."""
    rng = np.random.default_rng(0)
    stories = np.repeat(np.arange(40), 10)
    values = np.repeat(rng.normal(size=40), 10)
    expected = stats.t.ppf(0.975, 39) * np.std(values[::10], ddof=1) / np.sqrt(40)
    assert clustered_interval(values, stories) == pytest.approx(expected)
