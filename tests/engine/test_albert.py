"""ALBERT as a method: its shapes, its pairs, its teacher."""

import numpy as np
import pytest
import torch

from engine.cost import parameters
from engine.library import inexpressible
from engine.methods.albert import Albert, AlbertOptions
from engine.pairs import open_text
from engine.shape import Shape
from tests.engine.builders import masked_batch, teacher, tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")


STEPS = 30


@pytest.mark.parametrize("sharing", ["none", "attention", "ffn", "all"])
@pytest.mark.parametrize("pairs", ["sop", "nsp", "none"])
def test_albert_is_the_shape_that_was_asked_for(sharing, pairs):
    """Harm: parameters that ALBERT is said to save are still there, or the pair head learns from nothing."""
    method = Albert(AlbertOptions(embedding=10, sharing=sharing, groups=2, pairs=pairs), STEPS)
    shape = method.student_shape(Shape(layers=4, hidden=32, heads=4, vocab=50), {"hidden": 24})
    assert (shape.embedding, shape.sharing, shape.groups, shape.family) == (10, sharing, 2, "albert")
    student = method.prepare(teacher(), shape, 0)
    assert sum(p.numel() for p in student.parameters()) == parameters(shape)
    attentions, ffns = {"none": (4, 4), "attention": (2, 4), "ffn": (4, 2), "all": (2, 2)}[sharing]
    assert (len(student.attentions), len(student.ffns)) == (attentions, ffns)
    assert (student.pair is None) == (pairs == "none") == (method.pairs == "none")
    assert bool(method.notes(shape, shape)) == bool(inexpressible(shape)) == (sharing in ("attention", "ffn"))


def test_albert_learns_the_order_of_sentences():
    """Harm: a sentence-order loss that does not reach the pair head, or looks at the wrong labels."""
    method = Albert(AlbertOptions(sharing="all", lr=3e-3), 60)
    text = open_text("microworld", tokenizer(), 32, 600, "sop")
    student = method.prepare(teacher(), method.student_shape(teacher().shape, {"hidden": 32, "heads": 4}), 0)
    optimizer, batch = method.optimizer(student), text.batch(0, 16, 0)
    with torch.no_grad():
        before = method.losses(student, teacher(), batch)["sentence order"].item()
    for _ in range(60):
        optimizer.zero_grad()
        method.losses(student, teacher(), batch)["sentence order"].backward()
        optimizer.step()
    with torch.no_grad():
        after = method.losses(student, teacher(), batch)["sentence order"].item()
    assert before == pytest.approx(np.log(2), abs=0.2)  # a coin
    assert after < 0.1  # sixteen pairs by heart


def test_albert_listens_to_its_teacher_as_much_as_asked(corpus):
    """Harm: a student said to be distilled that was not."""
    batch, big = masked_batch(), teacher()
    hard = Albert(AlbertOptions(pairs="none"), STEPS)
    soft = Albert(AlbertOptions(pairs="none", soft=1.0), STEPS)
    student = hard.prepare(big, hard.student_shape(big.shape, {}), 0)
    assert set(hard.losses(student, big, batch)) == {"masked-LM"}
    terms = soft.losses(student, big, batch)
    assert terms["masked-LM"].item() == 0
    assert terms["soft targets"].item() > 0


def test_fresh_weights_have_the_deviation_that_is_asked_for():
    """Harm: the replayed tables say that weights are scaled with the width, and they are not."""
    for deviation in (0.02, 0.08):
        method = Albert(AlbertOptions(deviation=deviation), STEPS)
        shape = method.student_shape(teacher().shape, {"layers": 2, "hidden": 48, "heads": 4})
        student = method.prepare(teacher(), shape, 3)
        weights = torch.cat([p.flatten() for p in student.parameters() if p.ndim == 2])
        assert weights.std().item() == pytest.approx(deviation, rel=0.02)
        again = method.prepare(teacher(), shape, 3)
        assert all(torch.equal(a, b) for a, b in zip(student.parameters(), again.parameters(), strict=True))
