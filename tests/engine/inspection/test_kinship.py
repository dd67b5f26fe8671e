"""Ancestry against behaviour: the correlation is Spearman's, and it is surprised only by what is surprising."""

import numpy as np
import pytest

from engine.inspection.kinship import KinshipError, attention_likeness, kinship, rank_correlation


def spearman(x, y) -> float:
    """Spearman's correlation by its definition: ranks by a plain loop, then Pearson's."""

    def ranks(values):
        return [sum(b < a for b in values) + (sum(b == a for b in values) - 1) / 2 for a in values]

    return float(np.corrcoef(ranks(list(x)), ranks(list(y)))[0, 1])


def test_correlation_is_spearman_within_each_head() -> None:
    """Harm: heads that are alike to everybody, or layers that are, make a correlation of their own."""
    rng = np.random.default_rng(0)
    ancestry = [rng.random((3, 5)).round(1), rng.random((2, 5)).round(1)]  # rounded: ties
    alike = [rng.random((3, 5)).round(1), rng.random((2, 5)).round(1)]
    rows = zip(np.concatenate(ancestry), np.concatenate(alike), strict=True)
    expected = [spearman(a, b) for a, b in rows]
    found = kinship(ancestry, alike)
    assert found.correlation == pytest.approx(np.mean(expected))
    assert found.heads == 5
    assert found.low <= found.correlation <= found.high
    shifted = [alike[0] + np.arange(3)[:, None], alike[1] + 100]
    assert kinship(ancestry, shifted).correlation == pytest.approx(found.correlation)


def test_what_is_inherited_is_found_and_what_is_not_is_not() -> None:
    """Harm: the page says that behaviour follows ancestry whatever the student is."""
    rng = np.random.default_rng(1)
    ancestry = [np.eye(6) * 0.9 + rng.random((6, 6)) * 0.01 for _ in range(4)]
    heirs = [one + rng.normal(0, 0.05, one.shape) for one in ancestry]
    found = kinship(ancestry, heirs)
    assert found.matched == 1
    assert found.matched_by_chance == pytest.approx(1 / 6)
    assert found.null_high < found.low
    assert found.p < 0.001
    strangers = kinship(ancestry, [rng.random((6, 6)) for _ in range(4)])
    assert strangers.null_low < strangers.correlation < strangers.null_high
    assert 0.02 < strangers.p < 0.98


def test_chief_only_is_what_a_match_of_the_first_alone_gives() -> None:
    """Harm: a correlation of 0.6 among four heads is read as a weak one, when every chief ancestor was matched."""
    rng = np.random.default_rng(2)
    for heads in (2, 4, 12):
        ancestry = [np.eye(heads) + rng.random((heads, heads)) / 1000 for _ in range(60)]
        alike = [np.eye(heads) + rng.random((heads, heads)) / 1000 for _ in range(60)]
        found = kinship(ancestry, alike)
        assert found.correlation == pytest.approx(found.chief_only, abs=0.05)


def test_nothing_to_rank_is_said() -> None:
    """Harm: a teacher with one head, or matrices of two models, give a number that means nothing."""
    with pytest.raises(KinshipError, match="nothing to rank"):
        kinship([np.ones((2, 1))], [np.ones((2, 1))])
    with pytest.raises(KinshipError, match="same sizes"):
        kinship([np.ones((2, 3))], [np.ones((2, 4))])
    for x, y in (([1, 2], [1, 2]), ([1, 1, 1], [1, 2, 3]), ([1, 2, 3], [1, 2])):
        with pytest.raises(KinshipError, match="at least three"):
            rank_correlation(np.array(x), np.array(y))


def test_rank_correlation_is_spearman_with_its_interval() -> None:
    """Harm: damage of ancestor and heir is said to agree by a formula of our own."""
    rng = np.random.default_rng(3)
    x = rng.random(40).round(1)
    y = x + rng.normal(0, 0.2, 40).round(1)
    found = rank_correlation(x, y)
    assert found.value == pytest.approx(spearman(x, y))
    assert found.low < found.value < found.high
    assert found.null_low == pytest.approx(-found.null_high, abs=0.06)
    assert found.null_high == pytest.approx(1.96 / np.sqrt(39), abs=0.04)  # the null's deviation is 1 / sqrt(n - 1)
    assert found.p < 0.01


def test_likeness_is_one_minus_the_mean_divergence() -> None:
    """Harm: 'alike' is measured on [SEP], or summed over sentences of unequal length as if they were equal."""
    rng = np.random.default_rng(4)

    def maps(heads, pos):
        return rng.dirichlet(np.ones(pos), (heads, pos))

    student, teacher = [maps(2, 5), maps(2, 3)], [maps(3, 5), maps(3, 3)]
    kept = [np.array([False, True, True, True, False]), np.array([True, True, False])]
    found = attention_likeness(student, teacher, kept)
    for one in range(2):
        for other in range(3):
            divergences = []
            for s, t, keep in zip(student, teacher, kept, strict=True):
                places = [place for place, stays in enumerate(keep) if stays]
                for word in places:
                    p = np.array([s[one][word][place] for place in places])
                    q = np.array([t[other][word][place] for place in places])
                    p, q = p / p.sum(), q / q.sum()
                    middle = (p + q) / 2
                    divergences.append((np.sum(p * np.log2(p / middle)) + np.sum(q * np.log2(q / middle))) / 2)
            assert found[one, other] == pytest.approx(1 - np.mean(divergences))
    assert attention_likeness(student, student, kept).diagonal() == pytest.approx([1, 1])
