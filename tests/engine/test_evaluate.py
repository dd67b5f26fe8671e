"""How well a model fills in hidden words, and how sure one can be of it."""

import numpy as np
import pytest

from engine.corpora import open_corpus
from engine.device import pick
from engine.evaluate import accuracy_interval, masked_lm_score
from tests.engine.builders import teacher, tokenizer


def test_a_score_says_how_many_words_it_was_asked_for():
    """Harm: two students told apart by a difference that is noise."""
    corpus = open_corpus("microworld", tokenizer(), 24, 10, held_out_rows=70)
    score = masked_lm_score(teacher(), corpus, pick("cpu"))
    assert score["words"] == sum(len(batch.targets) for batch in corpus.held_out_batches(64))


@pytest.mark.parametrize(("chance", "words"), [(0.65, 2500), (0.05, 400), (0.5, 100)])
def test_nineteen_of_twenty_intervals_hold_the_truth(chance, words):
    """Harm: an interval too narrow to warn of noise, or too wide to show a difference."""
    right = np.random.default_rng(0).binomial(words, chance, 2000) / words
    held = [abs(found - chance) <= accuracy_interval(found, words) for found in right.tolist()]
    assert np.mean(held) == pytest.approx(0.95, abs=0.025)
