"""Laws of the inheritance score, checked against loops over the definitions and against scipy."""

import itertools
import json

import numpy as np
import pytest
from scipy.spatial.distance import jensenshannon

from engine.inheritance.head_distances import head_distances
from engine.inheritance.score import (
    best_pairs,
    head_scores,
    inheritance_score,
    layer_scores,
    random_score,
    same_place_pairs,
    shuffled_score,
)
from tests.fixtures.attention_maps import some_maps

LAYERS = [0, 0, 1, 1]


def many(seed, sentences=20, **about):
    """Attention on several sentences."""
    return [some_maps([seed, index], **about) for index in range(sentences)]


def random_students(count=3, sentences=20, heads=4):
    """Maps of students that look almost evenly at everything, as fresh ones do."""
    return [many(100 + index, sentences, heads=heads, sharpness=0.02) for index in range(count)]


def apart(student, teacher):
    """Distances where every position counts."""
    return head_distances(student, teacher, [np.ones(maps.shape[-1], bool) for maps in student])


def null_distances(teacher, **about):
    """(null, sentence, null head, teacher head)."""
    return np.stack([apart(one, teacher) for one in random_students(sentences=len(teacher), **about)])


def test_a_teacher_is_its_own_heir():
    """Harm: a perfect student does not score 1."""
    teacher = many(0)
    nulls, own = null_distances(teacher), apart(teacher, teacher)
    for pairs, matched in ((best_pairs(own.mean(0)), True), (same_place_pairs(LAYERS, LAYERS), False)):
        found = inheritance_score(own, nulls, pairs, LAYERS, matched)
        assert found.pairs.tolist() == [[head, head] for head in range(4)]
        values = [found.total.score, found.total.low, found.total.high, *found.heads]
        np.testing.assert_allclose(values, 1.0, atol=1e-5)
        np.testing.assert_allclose([layer.score for layer in found.layers], 1.0, atol=1e-5)
    np.testing.assert_allclose(np.diag(head_scores(own, nulls)), 1.0, atol=1e-5)
    np.testing.assert_allclose(np.diag(layer_scores(own, nulls, LAYERS, LAYERS)), 1.0, atol=1e-5)


def test_a_random_student_scores_nothing():
    """Harm: whoever is paired best among many heads seems to have inherited a little."""
    teacher = many(0)
    nulls = null_distances(teacher)
    fourth = apart(many(200, sharpness=0.02), teacher)
    for pairs in (best_pairs(fourth.mean(0)), None):
        found = random_score(nulls, None if pairs is not None else same_place_pairs(LAYERS, LAYERS))
        assert found.score == pytest.approx(0, abs=0.005)
        assert found.low <= 0 <= found.high
    assert inheritance_score(fourth, nulls, best_pairs(fourth.mean(0)), LAYERS, True).total.score == pytest.approx(
        0, abs=0.005
    )


def test_shuffled_heads_score_less_than_their_own_places():
    """Harm: a score that any head of the teacher would give shows nothing about inheritance."""
    teacher = many(0, heads=8, sharpness=4.0)
    own, nulls = apart(teacher, teacher), null_distances(teacher, heads=8)
    shuffled = shuffled_score(own, nulls)
    expected = 1 - own.mean() / nulls.mean()  # any head with any other, as likely
    assert shuffled.low <= expected <= shuffled.high < 0.9


def test_the_order_of_heads_does_not_matter():
    """Harm: a student that has every one of its teacher's heads, in other places, is told that it has none."""
    teacher = many(0)
    student = [0.7 * maps + 0.3 * other for maps, other in zip(teacher, many(1), strict=True)]
    order = np.array([2, 0, 3, 1])
    nulls = null_distances(teacher)
    straight, mixed = apart(student, teacher), apart([maps[order] for maps in student], teacher)
    one, other = (inheritance_score(it, nulls, best_pairs(it.mean(0)), LAYERS, True) for it in (straight, mixed))
    assert other.total.score == pytest.approx(one.total.score, abs=1e-6)
    assert other.pairs[:, 1].tolist() == order.tolist()
    in_place = inheritance_score(mixed, nulls, same_place_pairs(LAYERS, LAYERS), LAYERS, False)
    assert in_place.total.score < one.total.score - 0.1


def test_the_pairing_is_the_best_of_all():
    """Harm: a greedy pairing understates a student, by how much depends on the order of its heads."""
    cost = np.random.default_rng(0).random((4, 4))
    least = min(sum(cost[head, other[head]] for head in range(4)) for other in itertools.permutations(range(4)))
    pairs = best_pairs(cost)
    assert sum(cost[a, b] for a, b in pairs) == pytest.approx(least)
    assert len(best_pairs(cost[:, :2])) == 2  # one to one, whichever has fewer


def test_a_smaller_student_is_compared_with_as_many_heads():
    """Harm: a student of another depth or head count crashes the page, or one head inherits twice."""
    teacher, student = many(0, heads=12), [maps[[1, 5]] for maps in many(0, heads=12)]
    nulls = null_distances(teacher, heads=2)
    own = apart(student, teacher)
    found = inheritance_score(own, nulls, best_pairs(own.mean(0)), [0, 1], True)
    assert found.pairs.tolist() == [[0, 1], [1, 5]]
    assert found.total.score == pytest.approx(1, abs=1e-5)
    assert layer_scores(own, nulls, [0, 1], [layer // 4 for layer in range(12)]).shape == (2, 3)
    wide = apart(teacher, teacher)  # still twelve heads, on the way to two
    assert inheritance_score(wide, nulls, best_pairs(wide.mean(0)), [0] * 12, True).total.score == pytest.approx(
        1, abs=1e-5
    )


@pytest.mark.parametrize(
    ("student", "teacher", "expected"),
    [
        ([0, 0, 1, 1], [0, 0, 1, 1], [0, 1, 2, 3]),
        ([0, 0], [0, 0, 1, 1], [2, 3]),  # one layer stands at the depth of the last
        ([0, 0, 1, 1], [0, 0, 1, 1, 2, 2, 3, 3], [2, 3, 6, 7]),
        ([0, 1], [0, 0, 1, 1], None),
    ],
)
def test_the_same_place(student, teacher, expected):
    """Harm: layer 1 of 2 is compared with layer 1 of 12, or two heads with four by chance of order."""
    found = same_place_pairs(student, teacher)
    assert found is None if expected is None else found[:, 1].tolist() == expected


def test_a_score_is_one_minus_a_ratio_of_means():
    """Harm: the definition beside the chart is not what was computed."""
    teacher = many(0)
    student = [0.5 * maps + 0.5 * other for maps, other in zip(teacher, many(1), strict=True)]
    mine, nulls, pairs = apart(student, teacher), null_distances(teacher), same_place_pairs(LAYERS, LAYERS)
    found = inheritance_score(mine, nulls, pairs, LAYERS, False)
    above = np.mean([jensenshannon(p, q, base=2) ** 2 for s, t in zip(student, teacher, strict=True) for a, b in pairs
                     for p, q in zip(s[a], t[b], strict=True)])  # fmt: skip
    below = np.mean([one[:, a, b].mean() for one in nulls for a, b in pairs])
    assert found.total.distance == pytest.approx(above, abs=1e-5)
    assert found.total.score == pytest.approx(1 - above / below, abs=1e-4)
    assert found.total.low < found.total.score < found.total.high
    assert np.mean([layer.distance for layer in found.layers]) == pytest.approx(above, abs=1e-5)


@pytest.mark.parametrize("sentences", [3, 12, 32])
def test_the_interval_is_of_sentences(sentences):
    """Harm: an interval so narrow that every difference between two students looks real."""
    rng, truth, covered, draws = np.random.default_rng(0), 0.5, 0, 1000
    null = np.ones((1, sentences, 1, 1))
    for _ in range(draws):
        noisy = rng.normal(truth, 0.1, (sentences, 1, 1))
        found = inheritance_score(noisy, null, np.array([[0, 0]]), [0], False).total
        covered += found.low <= 1 - truth <= found.high
    assert covered == pytest.approx(0.95 * draws, abs=3 * (draws * 0.95 * 0.05) ** 0.5)


def test_one_sentence_tells_no_interval() -> None:
    """Harm: a score of one sentence is shown as certain, or as not-a-number in a file that must be JSON."""
    null = np.random.default_rng(0).uniform(0.5, 1, (3, 1, 1, 1))
    found = inheritance_score(np.full((1, 1, 1), 0.3), null, np.array([[0, 0]]), [0], False).total
    assert np.isnan([found.low, found.high]).all()
    told = json.loads(json.dumps(found.to_json(), allow_nan=False))
    assert (told["low"], told["high"]) == (None, None)
    assert told["score"] == pytest.approx(1 - 0.3 / null.mean(), abs=1e-5)


def test_random_students_are_drawn_too() -> None:
    """Harm: the doubt about what random students do, of whom there are three, is left out of the interval."""
    rng, covered, alone, draws = np.random.default_rng(1), 0, 0, 600
    for _ in range(draws):
        null = 1 + 0.1 * rng.normal(size=(3, 1, 1, 1)) + np.zeros((1, 16, 1, 1))
        mine = 0.5 + 0.1 * rng.normal(size=(16, 1, 1))
        found = inheritance_score(mine, null, np.array([[0, 0]]), [0], False).total
        covered += found.low <= 0.5 <= found.high
        few = inheritance_score(mine, null[:1], np.array([[0, 0]]), [0], False).total
        alone += few.low <= 0.5 <= few.high
    assert covered / draws > 0.93
    assert alone / draws < 0.93
