"""Laws of low-rank factorisation."""

import re

import numpy as np
import pytest
import torch

from engine.methods.registry import METHODS
from engine.model.pruning import truncated_svd
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape, ShapeError
from tests.fixtures.builders import teacher
from tests.fixtures.compressed import logits, student_of


def test_full_rank_is_the_teacher_and_less_is_the_nearest_there_is():
    """Harm: a factorisation that is worse than the SVD, or transposed."""
    weight = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    up, down = truncated_svd(weight, 5)
    torch.testing.assert_close(up @ down, weight, rtol=0, atol=1e-5)
    for rank in (1, 3):
        up, down = truncated_svd(weight, rank)
        assert (up.shape, down.shape) == ((7, rank), (rank, 5))
        off = np.linalg.norm((up @ down - weight).numpy())
        assert off == pytest.approx(np.sqrt((np.linalg.svd(weight.numpy())[1][rank:] ** 2).sum()), rel=1e-4)


def test_a_model_of_low_rank_loses_nothing_in_two_factors():
    """Harm: the factorised network computes another function than the product of its factors."""
    guide = teacher()
    with torch.no_grad():
        for block in (*guide.attentions, *guide.ffns):
            for name, module in block.named_children():
                if name != "norm":
                    up, down = truncated_svd(module.weight, 3)
                    module.weight.copy_(up @ down)
    _, shape, student = student_of("low_rank", guide, rank=3)
    assert shape.rank == 3
    assert parameters(shape) < parameters(guide.shape)
    torch.testing.assert_close(logits(student), logits(guide), rtol=0, atol=1e-4)


@pytest.mark.parametrize(
    "sizes", [{"hidden": 768, "heads": 12, "ffn": 1000}, {"hidden": 7, "heads": 1}, {"hidden": 128, "heads": 4}]
)
def test_the_rank_that_a_refusal_names_works_and_is_the_highest(sizes):
    """Harm: advice that is refused in turn."""
    kind, big = METHODS["low_rank"], Shape(layers=1, vocab=50, **sizes)
    with pytest.raises(ShapeError) as caught:
        kind(kind.Options(share=1.0), 0).student_shape(big, {})
    limit, share = re.search(r"below (\d+), or a share of at most ([\d.]+)\.", str(caught.value)).groups()
    assert kind(kind.Options(rank=int(limit) - 1), 0).student_shape(big, {}).rank == int(limit) - 1
    assert kind(kind.Options(share=float(share)), 0).student_shape(big, {}).rank < int(limit)
    with pytest.raises(ShapeError):
        kind(kind.Options(rank=int(limit)), 0).student_shape(big, {})
