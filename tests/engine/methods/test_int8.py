"""Laws of int8 students: what can still be done with them."""

import numpy as np
import pytest
import torch

from engine.inspection.fill_in import fill_in
from engine.inspection.probe import probe
from engine.methods.registry import METHODS
from engine.model.bert import Bert
from engine.model.linears import FakeQuantLinear, Int8Linear
from engine.settings.device import pick_device
from engine.sizing.cost import model_bytes, parameters
from engine.sizing.shape import Shape, ShapeError
from engine.tasks import scores as task_scores
from engine.tasks.catalog import find_task
from engine.tasks.finetune import FineTuneRecipe, weights_fingerprint
from engine.tasks.labelled import TaskError
from tests.fixtures.builders import masked_batch, teacher, tokenizer
from tests.fixtures.compressed import ONE_SHOT, logits, student_of


def test_int8_students_fill_in_look_and_score_like_their_teacher():
    """Harm: a student of a quarter of the bytes that runs nowhere but in its own test."""
    guide = teacher()
    _, shape, student = student_of("int8", guide)
    assert isinstance(student.attentions[0].query, Int8Linear)
    assert student.embeddings.word.weight.dtype == torch.int8
    assert parameters(shape) == parameters(guide.shape)
    assert model_bytes(shape) < 0.45 * model_bytes(
        guide.shape
    )  # 64 positions of 16 floats are much of so small a model
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
    student = method.init_student(guide, method.student_shape(guide.shape, {}), 0)
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
        task_scores.score_task(student, tokenizer(), find_task("qc"), FineTuneRecipe(), 1, pick_device("cpu"))
    name = weights_fingerprint(student)
    student.ffns[0].up.scale.mul_(2)
    assert weights_fingerprint(student) != name
