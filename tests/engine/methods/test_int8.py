"""Laws of int8: products, rounding, and what can still be done with it."""

import numpy as np
import pytest
import torch

from engine.inspection.fill_in import fill_in
from engine.inspection.probe import probe
from engine.methods.registry import METHODS
from engine.model import linears
from engine.model.bert import Bert
from engine.model.linears import FakeQuantLinear, Int8Linear, from_int8, int8_product, to_int8
from engine.settings.device import pick_device
from engine.sizing.cost import model_bytes, parameters
from engine.sizing.shape import Shape, ShapeError
from engine.tasks import scores as task_scores
from engine.tasks.catalog import find
from engine.tasks.finetune import Recipe, fingerprint
from engine.tasks.labelled import TaskError
from tests.fixtures.builders import masked_batch, teacher, tokenizer
from tests.fixtures.compressed import ONE_SHOT, logits, student_of


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


def test_int8_students_fill_in_look_and_score_like_their_teacher():
    """Harm: a student of a quarter of the bytes that runs nowhere but in its own test."""
    guide = teacher()
    _, shape, student = student_of("int8", guide)
    assert isinstance(student.attentions[0].query, Int8Linear)
    assert student.embeddings.word.weight.dtype == torch.int8
    assert parameters(shape) == parameters(guide.shape)
    # 64 positions of 16 floats are much of so small a model
    assert model_bytes(shape) < 0.45 * model_bytes(guide.shape)
    near = (logits(student) - logits(guide)).abs()
    assert 0 < near.mean() < 0.05
    seen, filled = (
        probe(student, tokenizer(), "the girl sees the dog"),
        fill_in(student, tokenizer(), "the [MASK] runs"),
    )
    np.testing.assert_allclose(seen.attentions.sum(-1), 1, atol=1e-5)
    np.testing.assert_allclose(filled.probabilities.sum(-1), 1, atol=1e-5)


def test_healing_looks_at_what_will_be_saved():
    """Harm: quantisation-aware steps train a network that is not the one that is written."""
    guide = teacher()
    method = METHODS["int8"](METHODS["int8"].Options(), 5)
    student = method.prepare(guide, method.student_shape(guide.shape, {}), 0)
    assert isinstance(student.ffns[0].up, FakeQuantLinear)
    before = method.finish(student).eval()
    torch.testing.assert_close(logits(student), logits(before), rtol=0, atol=0.05)  # a tie may round the other way
    assert (logits(student) - logits(before)).abs().mean() < 1e-3
    batch = masked_batch()
    student.requires_grad_(True)
    sum(method.losses(student, guide, batch).values()).backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for n, p in student.named_parameters() if "up.w" in n)


def test_int8_is_the_last_step():
    """Harm: gradients of rounded weights, which are zero, rank heads by nothing."""
    guide = Bert(Shape(**{**vars(teacher().shape), "linear_bits": 8}))
    for name in ONE_SHOT:
        with pytest.raises(ShapeError, match="make int8 the last step"):
            METHODS[name](METHODS[name].Options(), 0).student_shape(guide.shape, {})


def test_int8_models_are_scored_on_tasks_by_a_probe_only():
    """Harm: a traceback out of autograd, minutes after the start; or two int8 models that share a cached score."""
    _, _, student = student_of("int8", teacher())
    with pytest.raises(TaskError, match="use --probe"):
        task_scores.score(student, tokenizer(), find("qc"), Recipe(), 1, pick_device("cpu"))
    name = fingerprint(student)
    student.ffns[0].up.scale.mul_(2)
    assert fingerprint(student) != name
