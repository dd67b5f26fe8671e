"""Ancestry: what the compactors say, and nothing that they do not."""

import itertools
import math

import numpy as np
import pytest
import torch

from engine.compactors.cut_schedule import smallest_dims
from engine.compactors.heir import Heir
from engine.inspection.lineage import (
    LineageError,
    binned_shares,
    chance_overlap,
    effective_parents,
    entropy,
    read_lineage,
)
from tests.fixtures.builders import randomise, teacher


def heir(keep_heads: bool = False) -> Heir:
    """An heir of a 2 x 16 teacher with 4 heads, narrowed to 8 (2 dims a head, or 2 heads whole), far from identity."""
    found = Heir(teacher())
    for group in found.groups.values():
        blocks, unit = {"attention": (1, 4) if keep_heads else (4, 1)}.get(group.kind, (1, 1))
        norms = torch.from_numpy(np.random.default_rng(len(group.name)).random(group.full)).float()
        found.close(group, smallest_dims(norms, group.full // 2, blocks, unit))
        found.shrink(group, None)
    randomise(found.compactors, 3)
    return found


def read(found: Heir):
    """Its lineage, as a page reads it."""
    tensors = {name: tensor.numpy() for name, tensor in found.lineage().items()}
    return read_lineage(tensors, found.teacher_shape, found.folded_shape(), range(found.teacher_shape.layers)), tensors


@pytest.mark.parametrize("keep_heads", [False, True])
def test_head_shares_are_block_norms_of_the_products(keep_heads) -> None:
    """Harm: the Sankey shows some other mixture of heads than the one that was folded into the student."""
    found = heir(keep_heads)
    lineage, tensors = read(found)
    student, big = lineage.student, lineage.teacher
    assert (student.heads, student.head_dim) == ((2, 4) if keep_heads else (4, 2))
    names = {"query-key": ("query.column", "key.column"), "value-output": ("output.row", "value.column")}
    for layer, (part, (one, other)) in itertools.product(range(2), names.items()):
        a, b = (tensors[f"attentions.{layer}.{name}"].astype(np.float64) for name in (one, other))
        a = a if one.endswith("column") else a.T
        shares = np.zeros((student.heads, big.heads))
        crossed = np.zeros(student.heads)
        for head in range(student.heads):
            mine = slice(head * student.head_dim, (head + 1) * student.head_dim)
            product = a[mine].T @ b[mine]  # (teacher's inner, teacher's inner)
            for row, column in itertools.product(range(big.heads), repeat=2):
                block = product[row * 4 : row * 4 + 4, column * 4 : column * 4 + 4]
                shares[head, row] += np.square(block).sum() / 2
                shares[head, column] += np.square(block).sum() / 2
                crossed[head] += np.square(block).sum() * (row != column)
            crossed[head] /= np.square(product).sum()
            shares[head] /= shares[head].sum()
        np.testing.assert_allclose(lineage.head_shares(layer, part), shares, rtol=1e-9)
        np.testing.assert_allclose(lineage.crossed(layer, part), crossed, rtol=1e-9)
    both = (lineage.head_shares(0, "query-key") + lineage.head_shares(0, "value-output")) / 2
    np.testing.assert_allclose(lineage.head_shares(0), both)


def test_at_birth_every_dim_has_itself_as_its_only_parent() -> None:
    """Harm: ancestry is found where nothing has been mixed yet."""
    lineage, _ = read(Heir(teacher()))
    for shares in (lineage.head_shares(1), lineage.residual_shares(), lineage.ffn_shares(0)):
        np.testing.assert_array_equal(shares, np.eye(len(shares)))
        assert not entropy(shares).any()
    assert lineage.crossed(0, "query-key").tolist() == [0] * 4


def test_dims_and_neurons_are_squares_of_their_compactors() -> None:
    """Harm: rows and columns are taken for one another, and a dim gets its children as its parents."""
    lineage, tensors = read(heir())
    up, down = tensors["ffns.1.up.column"].astype(float) ** 2, tensors["ffns.1.down.row"].astype(float).T ** 2
    expected = (up / up.sum(1, keepdims=True) + down / down.sum(1, keepdims=True)) / 2
    np.testing.assert_allclose(lineage.ffn_shares(1), expected)
    assert lineage.ffn_shares(1).shape == (12, 24)
    sides = [lineage.residual_shares(side) for side in lineage.residual_sides]
    assert len(sides) == 1 + 2 * 6 + 1
    assert {side.shape for side in sides} == {(8, 16)}
    np.testing.assert_allclose(lineage.residual_shares(), np.mean(sides, axis=0))
    np.testing.assert_allclose(lineage.residual_shares().sum(1), 1)


def test_entropy_counts_parents() -> None:
    """Harm: 'one parent or many' is answered with the wrong number."""
    shares = np.array([[1, 0, 0, 0], [0.5, 0.5, 0, 0], [0.25] * 4, [0, 0, 0, 0]])
    np.testing.assert_allclose(entropy(shares), [0, 1, 2, 0])
    np.testing.assert_allclose(effective_parents(shares[:3]), [1, 2, 4])
    assert entropy(np.array([0.75, 0.25])) == pytest.approx(-(0.75 * math.log2(0.75) + 0.25 * math.log2(0.25)))


def test_overlap_of_survivors_stands_beside_what_lots_would_give() -> None:
    """Harm: two layers that kept half of their neurons by chance look related because a third of them is shared."""
    lineage, tensors = read(heir())
    one, other = (set(tensors[f"dims.ffn {layer}"].tolist()) for layer in range(2))
    assert lineage.overlap("ffn")[0, 1] == len(one & other) / len(one | other)
    assert lineage.overlap("ffn").diagonal().tolist() == [1, 1]
    # every pair of 2 out of 4, by hand: one pair is the same (1), four share one (1/3), one shares nothing (0)
    assert chance_overlap(2, 4)[1] == pytest.approx((1 + 4 / 3) / 6)
    rng = np.random.default_rng(0)
    drawn = []
    for _ in range(4000):
        a, b = (set(rng.choice(24, 12, replace=False).tolist()) for _ in range(2))
        drawn.append(len(a & b) / len(a | b))
    low, mean, high = lineage.overlap_by_chance("ffn")
    assert mean == pytest.approx(np.mean(drawn), abs=0.01)
    np.testing.assert_allclose((low, high), np.percentile(drawn, (2.5, 97.5)), atol=0.04)
    assert chance_overlap(6, 6) == (1, 1, 1)


def test_whole_heads_are_told_by_their_dims() -> None:
    """Harm: a student that lost heads is shown as if heads 1 and 2 had survived, whichever it was."""
    lineage, tensors = read(heir(keep_heads=True))
    assert lineage.whole_heads
    expected = sorted({int(dim) // 4 for dim in tensors["dims.attention 1"]})
    assert lineage.surviving_heads(1).tolist() == expected
    low, _, high = lineage.overlap_by_chance("attention")  # two heads of four
    assert (low, high) == (chance_overlap(2, 4)[0], chance_overlap(2, 4)[2])


def test_coarse_shares_still_sum_to_one() -> None:
    """Harm: a picture in fewer cells, whose colours no longer mean shares."""
    shares = np.random.default_rng(0).dirichlet(np.ones(50), 30)
    cells, tall, wide = binned_shares(shares, 8)
    assert cells.shape == (8, 8)
    assert (tall, wide) == (4, 7)
    np.testing.assert_allclose(cells.sum(1), 1)
    np.testing.assert_allclose(cells[1, 2], shares[4:8, 14:21].sum(1).mean())
    np.testing.assert_array_equal(binned_shares(shares, 64)[0], shares)


def test_a_lineage_that_does_not_fit_is_refused_in_words() -> None:
    """Harm: a damaged or foreign file draws a picture of nothing, or a traceback."""
    found = heir()
    lineage, tensors = read(found)
    big, small = lineage.teacher, lineage.student
    with pytest.raises(LineageError, match=r"incomplete: attentions\.0\.key\.column"):
        read_lineage({n: t for n, t in tensors.items() if n != "attentions.0.key.column"}, big, small, [0, 1])
    with pytest.raises(LineageError, match="should be"):
        read_lineage({**tensors, "ffns.0.up.row": tensors["ffns.0.up.row"].T}, big, small, [0, 1])
    with pytest.raises(LineageError, match="not finite"):
        read_lineage({**tensors, "ffns.0.up.row": np.full_like(tensors["ffns.0.up.row"], np.nan)}, big, small, [0, 1])
    for layers in ([0], [0, 2]):
        with pytest.raises(LineageError, match="teacher's 2 layers"):
            read_lineage(tensors, big, small, layers)
