"""How near a model is to its original, against numpy and by hand."""

import numpy as np
import pytest
import torch

from engine.inspection.probe import probe
from engine.learning.closeness import closeness, jensen_shannon, sentence_embeddings
from engine.settings.device import pick_device
from engine.text.corpora import open_corpus
from tests.fixtures.builders import randomise, teacher, tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")


def test_a_model_is_as_near_to_itself_as_can_be(few_held_out):
    """Harm: a distance that is not zero between one and the same."""
    corpus = open_corpus("microworld", tokenizer(), 24, 10)
    found = closeness(teacher(), teacher(), corpus, pick_device("cpu"))
    assert found["sentence_cosine"] == pytest.approx(1, abs=1e-5)
    assert found["attention_cosine"] == pytest.approx(1, abs=1e-5)
    assert found["attention_js"] == pytest.approx(0, abs=1e-5)


def test_it_is_what_a_loop_over_sentences_finds(few_held_out):
    """Harm: padding, or an average of averages, decides how near a model counts as being."""
    corpus, one, other = open_corpus("microworld", tokenizer(), 24, 10), teacher(), randomise(teacher(), seed=7)
    cosines, maps, divergences = [], [], []

    def cosine(a, b):
        return (a * b).sum(-1) / np.linalg.norm(a, axis=-1) / np.linalg.norm(b, axis=-1)

    for row in corpus.held_out[:10]:
        text = " ".join(tokenizer().convert_ids_to_tokens(row[(row != 0)][1:-1]))
        seen = [probe(model, tokenizer(), text) for model in (one, other)]
        assert len(seen[0].tokens) == (row != 0).sum()
        cosines.append(cosine(seen[0].hidden[-1].mean(0), seen[1].hidden[-1].mean(0)))
        p, q = (looked.attentions.astype(np.float64).reshape(-1, len(looked.tokens)) for looked in seen)
        maps += list(cosine(p, q))
        middle = (p + q) / 2
        divergences += list((p * np.log2(p / middle) + q * np.log2(q / middle)).sum(-1) / 2)
    found = closeness(one, other, corpus, pick_device("cpu"), rows=10)
    assert found["sentence_cosine"] == pytest.approx(np.mean(cosines), abs=1e-4)
    assert found["attention_cosine"] == pytest.approx(np.mean(maps), abs=1e-4)
    assert found["attention_js"] == pytest.approx(np.mean(divergences), abs=1e-4)


def test_what_cannot_be_compared_is_left_out(few_held_out):
    """Harm: a student of half the width has a number for how near it is, made of nothing."""
    corpus = open_corpus("microworld", tokenizer(), 24, 10)
    assert set(closeness(teacher(hidden=8), teacher(), corpus, pick_device("cpu"), 2)) == {
        "attention_cosine",
        "attention_js",
    }
    assert set(closeness(teacher(layers=1), teacher(), corpus, pick_device("cpu"), 2)) == {"sentence_cosine"}


def test_the_divergence_is_lins():
    """Harm: a divergence in nats, or without its bounds."""
    p, q = torch.tensor([[1.0, 0.0], [0.5, 0.5]]), torch.tensor([[0.0, 1.0], [0.5, 0.5]])
    torch.testing.assert_close(jensen_shannon(p, q), torch.tensor([1.0, 0.0]))


def test_a_sentence_embedding_does_not_see_padding():
    """Harm: a sentence's neighbours in the batch change how near it counts as being."""
    hidden = torch.arange(24, dtype=torch.float32).reshape(2, 3, 4)
    visible = torch.tensor([[True, True, False], [True, True, True]])
    found = sentence_embeddings(hidden, visible)
    torch.testing.assert_close(found[0], hidden[0, :2].mean(0))
    torch.testing.assert_close(found[1], hidden[1].mean(0))
