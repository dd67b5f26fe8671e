import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from engine.compactors.products import effective_weight, left_first


@pytest.mark.parametrize("sizes", [(3, 5, 4, 2), (5, 5, 4, 4), (2, 9, 3, 3), (6, 6, 3, 2)])
def test_products_and_their_gradients_are_right(sizes):
    """Harm: compactors learn from a gradient that is none; both associations and the bias are in it."""
    kept_out, out, wide, kept_in = sizes
    generator = torch.Generator().manual_seed(0)
    factors = [
        torch.randn(*size, dtype=torch.float64, generator=generator).requires_grad_()
        for size in ((kept_out, out), (out, wide), (wide, kept_in), (out,))
    ]
    column, weight, row, bias = factors
    effective, effective_bias = effective_weight(*factors)
    torch.testing.assert_close(effective, torch.linalg.multi_dot([column, weight, row]))
    torch.testing.assert_close(effective_bias, column @ bias)
    assert torch.autograd.gradcheck(effective_weight, factors)


@given(st.tuples(*[st.integers(1, 40)] * 4))
def test_the_cheaper_association_is_taken(sizes):
    """Harm: the products cost more than they must, which no result would show."""
    kept_out, out, wide, kept_in = sizes
    costs = {
        True: kept_out * out * wide + kept_out * wide * kept_in,
        False: out * wide * kept_in + kept_out * out * kept_in,
    }
    assert costs[left_first(*sizes)] == min(costs.values())
