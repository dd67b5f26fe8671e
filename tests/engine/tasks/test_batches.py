"""Batches of a labelled task: every text in its turn, and pairs told apart."""

import pytest
import torch

from engine.tasks.batches import encode_examples, open_task
from engine.tasks.labelled import Example
from tests.fixtures.builders import tokenizer
from tests.fixtures.easy_task import EASY

pytestmark = pytest.mark.usefixtures("few_held_out")


def test_every_text_comes_once_an_epoch_and_the_rest_with_the_next(easy):
    """Harm: texts that nobody learns from, a short batch at every epoch's end, or an order that a resume changes."""
    data = open_task(easy, tokenizer(), 32)
    count = len(data.train)
    texts = [tuple(row) for row in data.train.ids]
    for seed in (0, 1):
        seen = []
        for step in range(count // 7 + 1):
            batch = data.batch(step, 7, seed)
            assert len(batch.targets) == 7
            assert torch.equal(batch.ids.flatten()[batch.positions], torch.full((7,), tokenizer().cls_token_id))
            seen += [tuple(row[row != 0].tolist()) for row in batch.ids]
        assert sorted(seen[:count]) == sorted(texts)
        assert all(torch.equal(a, b) for a, b in zip(vars(batch).values(), vars(data.batch(step, 7, seed)).values()))  # noqa: B905
    held_out = [tuple(row[row != 0].tolist()) for one in data.held_out_batches(5) for row in one.ids]
    assert sorted(held_out) == sorted(tuple(row) for row in data.test.ids)


def test_pairs_are_told_apart_by_their_types():
    """Harm: premise and hypothesis in one heap."""
    data = encode_examples([Example("the girl", "a fox sleeps", 1)], EASY, tokenizer(), 24)
    assert " ".join(tokenizer().convert_ids_to_tokens(data.ids[0])) == "[CLS] the girl [SEP] a fox sleeps [SEP]"
    assert data.types[0] == [0, 0, 0, 0, 1, 1, 1, 1]
    long = encode_examples([Example("the girl " * 30, "a fox", 1)], EASY, tokenizer(), 16)
    assert len(long.ids[0]) == 16
    assert tokenizer().convert_ids_to_tokens(long.ids[0])[-3:] == ["a", "fox", "[SEP]"]
