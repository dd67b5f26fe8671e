"""Laws of the schedule and the ranking: the release's masks dim by dim, and nothing that ends elsewhere."""

import numpy as np
import pytest
import torch

from engine.compactors.cut_schedule import RULES, CutSizes, smallest_dims
from engine.sizing.shape import Shape
from engine.sizing.wid_cost import group_sizes

BASE = Shape()
NAMED = {  # the cases that the paper and its release name
    "12 x 516, 12 heads": (Shape(hidden=516), "dim"),
    "12 x 512, 8 heads": (Shape(hidden=512, heads=8), "head"),
    "12 x 192, 12 heads": (Shape(hidden=192), "dim"),
    "12 x 192, 3 heads": (Shape(hidden=192, heads=3), "head"),
}


def released_mask(kind: str, norms: np.ndarray, cut: int, goal: int, strategy: str) -> np.ndarray:
    """Which dims the authors' release closes after `cut`, from its own variables: (dim,) bool. Written for BERT-base.

    `w_step` has passed `cut` times; target_dim is `goal`; 12 heads and blocks of 64 are constants there.
    """
    gap, closed = 768 - goal, np.zeros(len(norms), bool)
    if kind in ("attention", "residual"):
        blocks = norms.reshape(-1, 64)
        if strategy == "dim":
            number = cut * int(int(gap / 12) / 8)
            if number * 12 > gap:
                number = int(gap / 12)
            for index, block in enumerate(blocks):
                closed[64 * index + np.argsort(block, kind="stable")[:number]] = True
        else:
            number = min(int(cut / 2), int(gap / 64))
            for index in np.argsort(blocks.sum(1), kind="stable")[:number]:
                closed[64 * index : 64 * index + 64] = True
        return closed
    number = min(cut * (gap / 16), gap) * (4 if kind == "ffn" else 1)
    closed[np.argsort(norms, kind="stable")[: int(number)]] = True
    return closed


@pytest.mark.parametrize("case", NAMED)
@pytest.mark.parametrize("kind", ["residual", "attention", "ffn", "transform"])
def test_the_release_rule_closes_the_release_s_dims_at_every_cut(case, kind):
    """Harm: a "paper" preset whose masks are not the paper's."""
    student, strategy = NAMED[case]
    schedule = CutSizes(BASE, student, strategy, "release")
    norms = np.random.default_rng(3).random(group_sizes(BASE)[kind]).astype(np.float32) + 0.5
    for cut in range(1, schedule.last_cut + 3):
        places = smallest_dims(torch.from_numpy(norms), schedule.remaining(kind, cut), *schedule.pieces(kind))
        expected = released_mask(kind, norms, cut, student.hidden, strategy)
        assert places.tolist() == expected.nonzero()[0].tolist(), cut


@pytest.mark.parametrize(("case", "cuts"), zip(NAMED, [16, 16, 16, 18], strict=True))
def test_the_release_rule_ends_when_the_release_does(case, cuts):
    """Harm: the promised end of closing is not when the last dim goes (nine heads need eighteen cuts, not sixteen)."""
    student, strategy = NAMED[case]
    assert CutSizes(BASE, student, strategy, "release").last_cut == cuts


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("case", NAMED)
def test_every_named_student_is_reached_and_never_passed(case, rule):
    """Harm: a student too narrow or too wide by a dim; heads of unequal width on the way."""
    student, strategy = NAMED[case]
    schedule = CutSizes(BASE, student, strategy, rule)
    assert schedule.objections() == []
    for kind, goal in group_sizes(student).items():
        lefts = [schedule.remaining(kind, cut) for cut in range(1, schedule.last_cut + 4)]
        assert lefts == sorted(lefts, reverse=True)
        assert lefts[schedule.last_cut - 1 :] == [goal] * 4
        blocks, unit = schedule.pieces(kind)
        assert all(left % (blocks * unit) == 0 for left in lefts)


def test_a_width_that_the_release_s_blocks_cannot_reach_is_refused_with_its_neighbours():
    """Harm: a run that ends at another width than was asked for, or "invalid" without a way out."""
    schedule = CutSizes(BASE, Shape(hidden=200, heads=12, head_dim=16), "dim", "release")
    (problem,) = schedule.objections()
    assert "12 at a time" in problem
    assert "192, 204" in problem
    assert CutSizes(BASE, Shape(hidden=200, heads=12, head_dim=16), "dim").objections() == []


def test_the_smallest_go_first_within_their_block_and_as_whole_pieces():
    """Harm: the most important dims are closed; a block loses more than its share; half a head goes."""
    norms = torch.tensor([5.0, 1.0, 2.0, 8.0, 0.1, 0.2, 0.3, 0.4])
    assert smallest_dims(norms, 6, 1, 1).tolist() == [4, 5]
    assert smallest_dims(norms, 6, 2, 1).tolist() == [1, 4]
    assert smallest_dims(norms, 4, 1, 2).tolist() == [4, 5, 6, 7]
    assert smallest_dims(norms, 8, 1, 1).tolist() == []
    assert smallest_dims(torch.ones(4), 3, 1, 1).tolist() == [0]
