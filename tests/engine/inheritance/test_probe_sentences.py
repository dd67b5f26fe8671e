"""Sentences that heads are compared on: whole, held out, and not changed by their neighbours in a batch."""

import numpy as np
import pytest

from engine.inheritance.probe_sentences import held_out_sentences, sentence_attention
from engine.inspection.probe import probe
from engine.teachers.catalog import load_teacher
from engine.text.corpora import open_corpus
from engine.text.sentence_pairs import open_pairs
from tests.fixtures.builders import tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")


def test_held_out_sentences_are_whole_and_frame_one_text():
    """Harm: a probe that begins or ends in the middle of a word's sentence, or is no text a model ever sees."""
    corpus, cut = open_corpus("microworld", tokenizer(), 64, 10), 0
    found = held_out_sentences(corpus, 20, longest=20)
    assert len(found) == 20
    for index, tokens in enumerate(found.tokens):
        row = tokenizer().convert_ids_to_tokens(corpus.held_out[index : index + 1][0].tolist())
        assert (tokens[0], tokens[-1]) == ("[CLS]", "[SEP]")
        assert tokens[1:-1] == row[1 : len(tokens) - 1]
        assert tokens[-2] == "."
        assert len(tokens) <= 20
        assert found.special[index].tolist() == [True, *[False] * (len(tokens) - 2), True]
        cut += row[len(tokens) - 1] != "[SEP]"
    assert cut > 5  # stories are longer than twenty words
    pairs = held_out_sentences(open_pairs("microworld", tokenizer(), 32, 10, "sop"), 5)
    assert all(tokens[-2] == "." and tokens.count("[SEP]") == 1 for tokens in pairs.tokens)


def test_sentences_of_unequal_length_share_a_batch():
    """Harm: padding is looked at, or a sentence gets another one's attention."""
    teacher = load_teacher("microworld")
    corpus = open_corpus("microworld", teacher.tokenizer, 64, 10)
    sentences = held_out_sentences(corpus, 9)
    assert len(set(map(len, sentences.ids))) > 3
    found = sentence_attention(teacher.bert, sentences, "cpu", teacher.tokenizer.pad_token_id)
    assert found.layers == [layer for layer in range(4) for _ in range(4)]
    for index in range(9):
        alone = probe(teacher.bert, teacher.tokenizer, " ".join(sentences.tokens[index][1:-1]))
        assert alone.tokens == sentences.tokens[index]
        np.testing.assert_allclose(found.maps[index], np.concatenate(alone.attentions), atol=1e-5)
