"""Linear layers that are not plain ones: int8 and two factors."""

import numpy as np
import pytest
import torch

from engine.model import linears
from engine.model.linears import from_int8, int8_product, to_int8
from engine.sizing.shape import ShapeError
from tests.fixtures.builders import teacher
from tests.fixtures.compressed import student_of


@pytest.mark.parametrize("vnni", [True, False])
@pytest.mark.parametrize("outs", [1, 6, 16])
@pytest.mark.parametrize("wide", [1, 2, 16, 300])
def test_int8_products_are_the_numpy_loops(wide, outs, vnni, monkeypatch):
    """Harm: a kernel that saturates, a scale of the wrong row, or another answer on a machine without the kernel."""
    if vnni and not linears._cpu_multiplies_int8():
        pytest.skip("this processor has no int8 products")
    monkeypatch.setattr(linears, "_cpu_multiplies_int8", lambda: vnni)
    rng = np.random.default_rng(0)
    x, w = rng.normal(0, 2, (2, 5, wide)).astype(np.float32), rng.normal(0, 1, (outs, wide)).astype(np.float32)
    w[3:4] = 0  # a row of zeros has no largest value
    x[1, 2] = 0
    bias = rng.normal(size=outs).astype(np.float32)
    small, scale = to_int8(torch.from_numpy(w))
    found = int8_product(torch.from_numpy(x), small, scale, torch.from_numpy(bias)).numpy()
    expected = np.zeros((2, 5, outs))
    for row in np.ndindex(2, 5):
        own = max(np.abs(x[row]).max() / 127, 1e-30)
        grid = np.rint(x[row].astype(np.float64) / own)
        for out in range(outs):
            step = max(np.abs(w[out]).max() / 127, 1e-30)
            expected[row][out] = (grid @ np.rint(w[out].astype(np.float64) / step)) * own * step + bias[out]
    # a value halfway between two steps may fall to either side: at most one step of one input
    np.testing.assert_allclose(found, expected, atol=2 * np.abs(x).max() / 127 * np.abs(w).max(), rtol=1e-4)
    assert np.median(np.abs(found - expected)) < 1e-5
    true = x @ w.T + bias
    for row in np.ndindex(2, 5):  # half a step of each input and of each weight
        own, step = np.abs(x[row]).max() / 127, np.abs(w).max(1) / 127
        bound = own / 2 * np.abs(w).sum(1) + step / 2 * np.abs(x[row]).sum() + wide * own * step / 4 + 1e-4
        assert (np.abs(found[row] - true[row]) <= bound).all()


@pytest.mark.parametrize(("rows", "outs"), [(7, 5), (70, 50), (9, 400)])
@pytest.mark.parametrize("bias", [True, False])
def test_a_product_in_pieces_is_the_whole_one(rows, outs, bias, monkeypatch):
    """Harm: the last rows, or the last words of a vocabulary, are what stood in memory before."""
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(rows, 32, generator=generator), torch.randn(outs, 32, generator=generator)
    small, scale = to_int8(weight)
    added = torch.randn(outs, generator=generator) if bias else None
    whole = int8_product(x, small, scale, added)
    monkeypatch.setattr(linears, "BLOCK_SIZE", 1024)  # rows in pieces of 20, outputs in pieces of 113
    torch.testing.assert_close(int8_product(x, small, scale, added), whole, rtol=0, atol=0)
    torch.testing.assert_close(whole, x @ weight.t() + (added if bias else 0), rtol=0, atol=0.3)


def test_weights_are_off_by_half_a_step_of_their_own_row_at_most():
    """Harm: one scale for a whole matrix, so that a row of small weights is rounded to nothing."""
    weight = (
        torch.randn(5, 9, generator=torch.Generator().manual_seed(0)) * torch.tensor([1e-3, 1, 10, 0.1, 1])[:, None]
    )
    back = from_int8(*to_int8(weight))
    assert ((back - weight).abs() <= weight.abs().amax(1, keepdim=True) / 127 / 2 * 1.001).all()


def test_a_linear_stays_whole_where_two_factors_would_be_larger():
    """Harm: "compressed" to more parameters than before."""
    guide = teacher()
    method, shape, student = student_of("low_rank", guide, rank=8)  # 8 (16 + 16) = 16 x 16, but 8 (16 + 24) < 16 x 24
    assert isinstance(student.attentions[0].query, torch.nn.Linear)
    assert isinstance(student.ffns[0].up, linears.FactorisedLinear)
    assert "stay whole" in " ".join(method.notes(guide.shape, shape))
    with pytest.raises(ShapeError, match="choose a rank below 10"):
        student_of("low_rank", guide, rank=10)
