"""How sure one may be of a number from few values: 95% intervals. Pure numbers; knows no model.

Means by Student's t, shares by Wilson's score interval (Wilson 1927), correlations of ranks by Fisher's transformation
with the standard error of Bonett and Wright (2000), anything smooth by the jackknife. A percentile bootstrap of a dozen
values is narrower than these: resampling knows neither that the mean was estimated nor that the spread was.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

NORMAL_QUANTILE = 1.959963984540054  # of 97.5%


def t_quantile(freedom: float) -> float:
    """The two-sided 95% quantile of Student's t with `freedom` degrees of freedom, above 0, whole or not."""
    from scipy.special import stdtrit  # here and not above: half a second of import

    return float(stdtrit(freedom, 0.975))


def mean_interval(values: Sequence[float]) -> float | None:
    """Half the width of the 95% interval of the mean of `values` (Student's t); None for fewer than two."""
    if len(values) < 2:
        return None
    return t_quantile(len(values) - 1) * float(np.std(values, ddof=1)) / math.sqrt(len(values))


def retained_share(student: Sequence[float], teacher: Sequence[float]) -> tuple[float, float | None]:
    """(student's mean score / teacher's, half the width of its 95% interval); scores over seeds.

    The interval adds the two means' relative ones as independent errors (first order).
    """
    one, other = float(np.mean(student)), float(np.mean(teacher))
    if other == 0:
        return 0.0, None
    widths = mean_interval(student), mean_interval(teacher)
    if widths[0] is None or widths[1] is None or one == 0:
        return one / other, None
    return one / other, abs(one / other) * math.hypot(widths[0] / one, widths[1] / other)


def share_interval(share: float, count: float, quantile: float = NORMAL_QUANTILE) -> tuple[float, float]:
    """(low, high): Wilson's 95% interval of a share (0-1) counted over `count` cases; (0, 1) where nothing was counted.

    Never a point: of 0 right in 10, anything up to 28% may be the truth.

    Args:
        count: independent cases; need not be whole, as where cases of one row are worth less than their number.
        quantile: how many standard errors the interval reaches to either side.
    """
    if count <= 0:
        return 0.0, 1.0
    squared = quantile**2 / count
    middle = (share + squared / 2) / (1 + squared)
    half = quantile / (1 + squared) * math.sqrt(max(0.0, share * (1 - share)) / count + squared / count / 4)
    # exact where nothing or everything was right; elsewhere rounding must not leave the share outside
    return max(0.0, min(share, middle - half)), min(1.0, max(share, middle + half))


def clustered_interval(values: np.ndarray, cluster: np.ndarray) -> float | None:
    """Half the 95% interval of the mean of `values` (case,), where whole clusters of cases were drawn.

    `cluster`: (case,) of which one it is. None for a single cluster, which says nothing of others.
    """
    _, place = np.unique(cluster, return_inverse=True)
    return ratio_interval(np.bincount(place, values), np.bincount(place))


def ratio_interval(sums: np.ndarray, counts: np.ndarray) -> float | None:
    """Half the 95% interval of sum(sums) / sum(counts), clusters being what was drawn: both (cluster,).

    The linearised ratio (Cochran 1977, section 6.3), with Student's t. None for a single cluster.
    """
    many = len(counts)
    if many < 2:
        return None
    apart = sums - sums.sum() / counts.sum() * counts
    spread = math.sqrt(float(np.square(apart).sum()) * many / (many - 1))
    return t_quantile(many - 1) * spread / float(counts.sum())


def clustered_share_interval(right: np.ndarray, counts: np.ndarray) -> tuple[float, float]:
    """(low, high) of a share where whole rows of cases were drawn: `right` and `counts` (row,).

    Wilson's, over as many independent cases as would be as uncertain, by Student's t. Where every case is right, or
    none, nothing tells how alike a row's cases are, and each row counts as one.
    """
    many, share = len(counts), float(right.sum() / counts.sum())
    half = ratio_interval(right, counts)
    if half is None:
        return share_interval(share, 1.0)
    quantile = t_quantile(many - 1)
    error = half / quantile
    worth = share * (1 - share) / error**2 if error > 0 else float(many)
    return share_interval(share, worth, quantile)


def combined_half_width(parts: Sequence[tuple[float, int]]) -> float | None:
    """Half a 95% interval of something with several independent errors; None where no error is known.

    Args:
        parts: (variance of the estimate, values that it was seen in) of each; fewer than two values tell no variance.

    Degrees of freedom as Welch and Satterthwaite (1946) weigh them.
    """
    known = [(variance, count - 1) for variance, count in parts if count > 1]
    if not known:
        return None
    total = sum(variance for variance, _ in known)
    if total <= 0:
        return 0.0
    freedom = total**2 / sum(variance**2 / values for variance, values in known)
    return t_quantile(freedom) * math.sqrt(total)


def rank_correlation_interval(value: float, pairs: int) -> tuple[float, float]:
    """(low, high) of Spearman's correlation of `pairs` pairs; (-1, 1) for three, which say nothing."""
    if pairs <= 3:
        return -1.0, 1.0
    error = math.sqrt((1 + value**2 / 2) / (pairs - 3))
    middle = math.atanh(max(-1 + 1e-12, min(1 - 1e-12, value)))
    reach = NORMAL_QUANTILE * error
    return math.tanh(middle - reach), math.tanh(middle + reach)


def jackknife_half_width(left_out: np.ndarray) -> np.ndarray:
    """Half the 95% interval of a smooth statistic: `left_out` (case, ...) are its values without each case.

    Tukey's jackknife with Student's t. (...); NaN for a single case.
    """
    many = len(left_out)
    if many < 2:
        return np.full(left_out.shape[1:], np.nan)
    apart = left_out - left_out.mean(0)
    return t_quantile(many - 1) * np.sqrt(np.square(apart).sum(0) * (many - 1) / many)
