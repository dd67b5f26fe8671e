"""What a preview says is used is what training makes of the text."""

import pytest

from engine.text.corpora import open_corpus
from engine.text.preview import preview_corpus
from engine.text.sentence_pairs import open_pairs
from engine.text.sources import SOURCES
from tests.fixtures.builders import source_of, tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")
NOUNS = sorted(word for word in tokenizer().get_vocab() if word.isalpha())[:150]


@pytest.fixture
def told(monkeypatch):
    """Documents of one sentence of 30 tokens and, every other, a short one."""
    documents = [[" ".join(NOUNS[i : i + 30]), *[f"{NOUNS[i]} ."] * (i % 2)] for i in range(100)]
    documents += [[f"{NOUNS[i]} sleeps ."] for i in range(100)]
    monkeypatch.setitem(SOURCES, "told", source_of(documents))
    return documents


def test_rows_and_tokens_used_are_those_of_training(told):
    """Harm: a preview that claims all where 22% are trained on."""
    found, corpus = preview_corpus("told", tokenizer(), 16), open_corpus("told", tokenizer(), 16, 10**6, 10**6)
    assert found.rows == len(corpus.rows) + len(corpus.held_out)
    assert found.used == found.tokens == len(corpus.rows.tokens) + len(corpus.held_out.tokens) - 2 * found.rows
    assert found.tokens == 100 * 30 + 50 * 2 + 100 * 3


def test_pairs_say_what_no_pair_takes(told):
    """Harm: single sentences, which no pair can use, are counted as learned from."""
    found = preview_corpus("told", tokenizer(), 16, pairs="sop")
    corpus = open_pairs("told", tokenizer(), 16, 10**6, "sop")
    firsts = sum(int((part.tokens[part.starts[:-1]] == 1).sum()) for part in (corpus.rows, corpus.held_out))
    assert found.rows == firsts
    assert (found.used, found.tokens) == (100 * 30 + 50 * 2, 100 * 30 + 50 * 2 + 100 * 3)
    assert len(found.examples) == 10
    assert all(
        example[0][0] == "[CLS]" and sum(true == "[SEP]" for _, _, true in example) == 2 for example in found.examples
    )
    assert (found.lengths <= 16).all()
