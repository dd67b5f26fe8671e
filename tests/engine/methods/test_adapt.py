"""Adaptation: what learns, what stays, what is merged and how near the original it stays."""

import numpy as np
import pytest
import torch

from engine.learning.closeness import sentence_embeddings
from engine.learning.losses import masked_lm_loss
from engine.methods.adapt import Adapt, AdaptOptions, LowRankEmbedding, LowRankLinear, merge
from engine.model.bert import Bert
from engine.sizing.shape import ShapeError
from tests.fixtures.builders import masked_batch, randomise, teacher


def adapted(original, steps=8, **options):
    """(method, student) after a few steps on one batch."""
    method = Adapt(AdaptOptions(**{"rank": 3, "word_rank": 2, "attention": True, **options}), steps)
    student = method.prepare(original, method.student_shape(original.shape, {}), seed=0).requires_grad_(True)
    optimizer = method.optimizer(student)
    for _ in range(steps):
        optimizer.zero_grad()
        sum(method.losses(student, original, masked_batch()).values()).backward()
        optimizer.step()
    return method, student


def plain_ids(batch):
    """The text of a batch before anything was hidden."""
    ids = batch.ids.clone()
    ids.view(-1)[batch.positions] = batch.targets
    return ids


def headless():
    """An encoder as it is published: with a pooler, without a masked-LM head."""
    return randomise(Bert(teacher().shape.replace(mlm_head=False, pooler=True)), seed=3)


def test_it_starts_as_the_original():
    """Harm: the first step throws away what the encoder knows."""
    original, batch = headless(), masked_batch()
    method = Adapt(AdaptOptions(), 1)
    student = method.prepare(original, method.student_shape(original.shape, {}), seed=0)
    with torch.no_grad():
        found, expected = (model.encode(batch.ids, batch.visible) for model in (student, original))
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-6)
        hidden, plain = (
            sentence_embeddings(original.encode(ids, batch.visible), batch.visible).numpy()
            for ids in (batch.ids, plain_ids(batch))
        )
        cosines = (hidden * plain).sum(1) / np.linalg.norm(hidden, axis=1) / np.linalg.norm(plain, axis=1)
        words = np.bincount(batch.positions.numpy() // batch.ids.shape[1], minlength=len(batch.ids))
        expected_anchor = 4 * np.average(1 - cosines, weights=words)
        assert float(method.losses(student, original, batch)["anchor"]) == pytest.approx(expected_anchor, rel=1e-4)
        head = student.head(expected, student.embeddings.word.weight)
        assert head.shape[-1] == original.shape.vocab


def test_the_encoders_own_weights_stay():
    """Harm: a low-rank adapter that does not explain the difference, so what is shipped is another model."""
    original = headless()
    before = {name: tensor.clone() for name, tensor in original.state_dict().items()}
    method, student = adapted(original)
    assert all(torch.equal(tensor, before[name]) for name, tensor in original.state_dict().items())
    learned = {name.removeprefix("adapter.") for name in method.lineage(student)}
    assert learned == {name for name, _ in student.named_parameters()}
    assert not any(name.endswith(("frozen", "position.weight", "token_type.weight")) for name in learned)
    plain = merge(student)
    for part, kept in (("attentions.1.query", 3), ("ffns.0.down", 3), ("embeddings.word", 2)):
        change = plain.get_parameter(f"{part}.weight") - before[f"{part}.weight"]
        assert 0 < torch.linalg.matrix_rank(change.detach(), rtol=1e-3) <= kept, part
    assert torch.equal(plain.embeddings.position.weight, before["embeddings.position.weight"])


def test_queries_and_keys_stay_unless_they_are_asked_to_learn():
    """Harm: attention wanders off although the options say that it stays."""
    original = headless()
    student = merge(adapted(original, attention=False)[1])
    for name in ("query.weight", "query.bias", "key.weight", "key.bias", "value.weight"):
        name = f"attentions.0.{name}"
        assert torch.equal(student.get_parameter(name), original.get_parameter(name)) == ("value" not in name), name


def test_a_headless_encoder_learns_to_fill_in():
    """Harm: a run of hours that only anchors."""
    original, batch = headless(), masked_batch()
    method = Adapt(AdaptOptions(anchor=0.0), 1)
    fresh = method.prepare(original, method.student_shape(original.shape, {}), seed=0)
    student = adapted(original, steps=40, lr=1e-2, anchor=0.0)[1]
    with torch.no_grad():
        before, after = masked_lm_loss(fresh, batch), masked_lm_loss(student, batch)
    assert after < before - 0.5


def test_the_merged_student_computes_what_was_trained():
    """Harm: the score on the card is not that of the model in the folder."""
    original = headless()
    method, student = adapted(original)
    plain, batch = method.finish(student), masked_batch(seed=4)
    assert type(plain) is Bert
    assert not any(isinstance(module, LowRankLinear | LowRankEmbedding) for module in plain.modules())
    with torch.no_grad():
        torch.testing.assert_close(
            plain(batch.ids, batch.visible), student(batch.ids, batch.visible), rtol=0, atol=1e-5
        )


def test_an_anchored_student_stays_nearer():
    """Harm: an anchor that costs time and holds nothing, as one on masked text did: there all sentences look alike."""
    original, batch = headless(), masked_batch(seed=9)

    def distance(student):
        with torch.no_grad():
            mine, theirs = (
                sentence_embeddings(model.encode(plain_ids(batch), batch.visible), batch.visible)
                for model in (student, original)
            )
        return float((1 - torch.cosine_similarity(mine, theirs)).mean())

    loose, held = (distance(adapted(original, steps=30, lr=1e-2, anchor=weight)[1]) for weight in (0.0, 30.0))
    assert held < loose / 2


def test_the_parts_of_a_batch_add_up():
    """Harm: micro-batches or a second process change what is learned."""
    original, batch = headless(), masked_batch()
    method, student = adapted(original, steps=3)
    with torch.no_grad():
        whole = method.losses(student, original, batch)
    for name, value in whole.items():
        with torch.no_grad():
            shares = [
                (method.losses(student, original, part)[name], len(part.targets) / len(batch.targets))
                for part in batch.split(3)
            ]
        assert float(value) == pytest.approx(sum(float(found) * share for found, share in shares), rel=1e-5)


def test_it_refuses_another_shape():
    """Harm: a width that was chosen and then ignored."""
    method = Adapt(AdaptOptions(), 1)
    with pytest.raises(ShapeError, match="keeps the teacher's shape"):
        method.student_shape(teacher().shape, {"hidden": 8})
