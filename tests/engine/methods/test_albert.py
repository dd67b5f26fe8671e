"""ALBERT as a method: its shapes, its pairs, its teacher."""

import numpy as np
import pytest
import torch
from transformers import AlbertForPreTraining, AlbertModel, AutoModelForMaskedLM

from engine.methods.albert import Albert, AlbertOptions
from engine.model.export import export_model
from engine.model.saved_models import Model
from engine.model.transformers_format import transformers_objections
from engine.sizing.cost import parameters
from engine.sizing.shape import SHARINGS, Shape, ShapeError
from engine.text.sentence_pairs import open_text
from tests.fixtures.builders import masked_batch, randomise, teacher, tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")


STEPS = 30


@pytest.mark.parametrize("sharing", ["none", "attention", "ffn", "all"])
@pytest.mark.parametrize("pairs", ["sop", "nsp", "none"])
def test_albert_is_the_shape_that_was_asked_for(sharing, pairs):
    """Harm: parameters that ALBERT is said to save are still there, or the pair head learns from nothing."""
    method = Albert(AlbertOptions(embedding=10, sharing=sharing, groups=2, pairs=pairs), STEPS)
    shape = method.student_shape(Shape(layers=4, hidden=32, heads=4, vocab=50), {"hidden": 24})
    assert (shape.embedding, shape.sharing, shape.groups, shape.family) == (10, sharing, 2, "albert")
    student = method.init_student(teacher(), shape, 0)
    assert sum(p.numel() for p in student.parameters()) == parameters(shape)
    attentions, ffns = {"none": (4, 4), "attention": (2, 4), "ffn": (4, 2), "all": (2, 2)}[sharing]
    assert (len(student.attentions), len(student.ffns)) == (attentions, ffns)
    assert (student.pair is None) == (pairs == "none") == (method.task.pairs == "none")
    assert bool(method.notes(shape, shape)) == bool(transformers_objections(shape)) == (sharing in ("attention", "ffn"))


def test_albert_learns_the_order_of_sentences():
    """Harm: a sentence-order loss that does not reach the pair head, or looks at the wrong labels."""
    method = Albert(AlbertOptions(sharing="all", lr=3e-3), 60)
    text = open_text("microworld", tokenizer(), 32, 600, "sop")
    student = method.init_student(teacher(), method.student_shape(teacher().shape, {"hidden": 32, "heads": 4}), 0)
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
    student = hard.init_student(big, hard.student_shape(big.shape, {}), 0)
    assert set(hard.losses(student, big, batch)) == {"masked-LM"}
    terms = soft.losses(student, big, batch)
    assert terms["masked-LM"].item() == 0
    assert terms["soft targets"].item() > 0


def test_fresh_weights_have_the_deviation_that_is_asked_for():
    """Harm: the replayed tables say that weights are scaled with the width, and they are not."""
    for deviation in (0.02, 0.08):
        method = Albert(AlbertOptions(deviation=deviation), STEPS)
        shape = method.student_shape(teacher().shape, {"layers": 2, "hidden": 48, "heads": 4})
        student = method.init_student(teacher(), shape, 3)
        weights = torch.cat([p.flatten() for p in student.parameters() if p.ndim == 2])
        assert weights.std().item() == pytest.approx(deviation, rel=0.02)
        again = method.init_student(teacher(), shape, 3)
        assert all(torch.equal(a, b) for a, b in zip(student.parameters(), again.parameters(), strict=True))


@pytest.mark.parametrize("pairs", ["sop", "none"])
@pytest.mark.parametrize("groups", [1, 2, 3, 4])  # three do not divide four layers
@pytest.mark.parametrize("sharing", SHARINGS)
def test_what_it_exports_is_an_albert_of_the_librarys(sharing, groups, pairs, tmp_path):
    """Harm: a student whose layers meet other groups' weights in the library, or whose pooler is a random one."""
    method = Albert(AlbertOptions(embedding=8, sharing=sharing, groups=groups, pairs=pairs), STEPS)
    shape = method.student_shape(teacher(layers=4).shape, {})
    student, folder = randomise(method.init_student(teacher(layers=4), shape, 0), seed=2), tmp_path / "out"
    if sharing in ("attention", "ffn"):
        assert "an export copies them" in method.notes(shape, shape)[0]
    export_model(Model(student, tokenizer(), {}), folder)
    theirs, about = AlbertModel.from_pretrained(
        folder, local_files_only=True, output_loading_info=True, add_pooling_layer=shape.pooler
    )
    assert not about["missing_keys"]
    assert theirs.config.num_hidden_groups == (groups if sharing == "all" else 4)
    batch = masked_batch()
    types = torch.zeros_like(batch.ids)
    types[:, 5:] = 1
    with torch.no_grad():
        found = theirs.eval()(input_ids=batch.ids, attention_mask=batch.visible.long(), token_type_ids=types)
        trace = {"hidden": []}
        student.encode(batch.ids, batch.visible, types, trace)
    ours = trace["hidden"][-1]
    torch.testing.assert_close(found.last_hidden_state[batch.visible], ours[batch.visible], rtol=0, atol=1e-5)
    if shape.pooler:
        torch.testing.assert_close(found.pooler_output, student.pooled(ours), rtol=0, atol=1e-5)
    words = AutoModelForMaskedLM.from_pretrained(folder, local_files_only=True).eval()
    with torch.no_grad():
        logits = words(input_ids=batch.ids, attention_mask=batch.visible.long(), token_type_ids=types).logits
        mine = student(batch.ids, batch.visible, types)
    torch.testing.assert_close(logits[batch.visible], mine[batch.visible], rtol=0, atol=1e-5)
    if shape.pair_head:
        whole, about = AlbertForPreTraining.from_pretrained(folder, local_files_only=True, output_loading_info=True)
        assert not about["missing_keys"]
        with torch.no_grad():
            order = whole.eval()(input_ids=batch.ids, attention_mask=batch.visible.long(), token_type_ids=types)
        torch.testing.assert_close(order.sop_logits, student.pair_logits(ours), rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"embedding": 40}, "got an embedding size of 40; use at most 16"),
        ({"groups": 3}, "got 3 groups; use at most 2"),
    ],
)
def test_what_cannot_be_an_albert_is_refused_with_what_works(options, says):
    """Harm: an embedding size that was asked for is silently another one."""
    with pytest.raises(ShapeError, match=says):
        Albert(AlbertOptions(**options), STEPS).student_shape(teacher().shape, {})
