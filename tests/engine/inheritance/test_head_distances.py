"""Laws of the distances between heads: only what counts is compared, and only what can be."""

import itertools
import math

import numpy as np
import pytest

from engine.inheritance.head_distances import InheritanceError, head_distances, pair_cosines
from engine.inspection.attention_divergence import content_only, pair_divergences
from tests.fixtures.attention_maps import some_maps

ALL = np.ones(6, bool)


def test_all_pairs_of_cosines_are_the_loop_s():
    """Harm: the fast way over all pairs of heads takes the columns for the rows."""
    student, teacher = some_maps(1, heads=3), some_maps(2, heads=5, sharpness=6.0)
    teacher[0, 0] = np.eye(6)[2]  # zeros
    cosines = pair_cosines(student, teacher)
    for mine, theirs in itertools.product(range(3), range(5)):
        rows = list(zip(student[mine], teacher[theirs], strict=True))
        similar = [sum(p * q) / math.sqrt(sum(p * p) * sum(q * q)) for p, q in rows]
        assert cosines[mine, theirs] == pytest.approx(1 - np.mean(similar), abs=1e-5)


def test_only_what_counts_is_compared():
    """Harm: attention to [SEP], which most heads give most of theirs, makes everybody an heir."""
    keep = np.array([False, True, True, False, True, False])
    maps = some_maps(3)
    maps[1, 2] = np.eye(6)[0]  # looks at nothing that counts
    inner = content_only(maps, keep)
    places = [1, 2, 4]
    for head, row in itertools.product(range(4), range(3)):
        left = [maps[head, places[row], column] for column in places]
        whole = sum(left)
        expected = [value / whole for value in left] if whole else [1 / 3] * 3
        np.testing.assert_allclose(inner[head, row], expected, rtol=1e-6)
    stranger = some_maps(4)
    for one, other in ((maps, stranger), (stranger, maps)):  # both look at the separator most of all
        one[..., 5] += 20
        one /= one.sum(-1, keepdims=True)
        assert pair_divergences(one, other).shape == (4, 4)
    flattered = head_distances([maps], [stranger], [np.ones(6, bool)]).mean()
    assert flattered < 0.2 * head_distances([maps], [stranger], [keep]).mean()


@pytest.mark.parametrize(
    ("student", "keep", "word"),
    [
        ([], [], "no sentence"),
        ([some_maps(0, pos=5)], [ALL], "5 tokens for the student and 6"),
        ([some_maps(0)], [np.arange(6) == 2], "fewer than two words"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(student, keep, word):
    """Harm: a broadcast compares the wrong tokens, or a sentence of one word counts as perfectly inherited."""
    with pytest.raises(InheritanceError, match=word):
        head_distances(student, [some_maps(1)][: len(student)], keep)
