"""Tokens in are tokens used: for drawn documents, in rows and in sentence pairs; and what is too small says so."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.text.corpora import open_corpus, packed_rows, sentence_rows
from engine.text.sentence_pairs import open_pairs
from engine.text.sources import SOURCES
from engine.text.token_store import CorpusError
from tests.fixtures.builders import source_of, tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")
NOUNS = sorted(word for word in tokenizer().get_vocab() if word.isalpha())[:150]
SENTENCES = st.lists(st.sampled_from(NOUNS), max_size=70).map(" ".join)
DOCUMENTS = st.lists(st.lists(SENTENCES, max_size=6), max_size=5)


def ids(document):
    """The tokens of a document, sentence by sentence."""
    return [tokenizer()(sentence, add_special_tokens=False)["input_ids"] for sentence in document]


@settings(max_examples=60, deadline=None)
@given(DOCUMENTS, st.integers(3, 40))
def test_every_token_stands_in_a_row_once_and_in_order(documents, length):
    """Harm: 78% of a text never reach training, without a word."""
    rows = list(packed_rows(documents, tokenizer(), length))
    assert [token for row in rows for token in row[1:-1]] == [t for d in documents for s in ids(d) for t in s]
    assert all(3 <= len(row) <= length for row in rows)
    pieces = list(sentence_rows(documents, tokenizer(), length))
    assert [token for row in pieces for token in row[1:]] == [t for d in documents for s in ids(d) for t in s]
    assert all(2 <= len(row) <= length for row in pieces)
    assert [row[0] for row in pieces].count(0) == sum(any(ids(document)) for document in documents)


def test_an_epoch_of_pairs_uses_every_token(monkeypatch):
    """Harm: a long sentence is cut to half a row in each of its pairs, and its end never learned from."""
    told = [[" ".join(NOUNS[i : i + 60]), f"{NOUNS[i]} ."] for i in range(80)]
    monkeypatch.setitem(SOURCES, "told", source_of(told))
    corpus = open_pairs("told", tokenizer(), 24, 10_000, "sop")
    stored = [corpus.rows.tokens[a + 1 : b] for a, b in zip(corpus.rows.starts, corpus.rows.starts[1:], strict=False)]
    assert max(map(len, stored)) == 10
    begins = corpus.rows.tokens[corpus.rows.starts[:-1]] == 0
    seen = set()
    steps = -(-int((~begins[1:]).sum()) // 16)
    for step in range(steps):
        batch = corpus.batch(step, 16, 0)
        true = batch.ids.clone().ravel()
        true[batch.positions] = batch.targets
        for row, types in zip(true.reshape(batch.ids.shape).tolist(), batch.types.tolist(), strict=True):
            end = row.index(tokenizer().sep_token_id)
            seen.add(tuple(row[1:end]))
            seen.add(tuple(t for t, kind in zip(row, types, strict=True) if kind)[:-1])
    inside = {part[at : at + len(piece)] for piece in {tuple(map(int, s)) for s in stored} for part in seen
              for at in range(len(part) - len(piece) + 1) if part[at : at + len(piece)] == piece}  # fmt: skip
    assert inside == {tuple(map(int, piece)) for piece in stored}


def test_a_long_transcript_has_pairs(monkeypatch):
    """Harm: 'no document has two sentences' for texts of a thousand words without a full stop."""
    monkeypatch.setitem(SOURCES, "told", source_of([[" ".join(np.roll(NOUNS, i))] for i in range(60)]))
    assert len(open_pairs("told", tokenizer(), 24, 100, "sop").rows) == 200


def test_single_sentences_have_none_and_hear_what_to_do(monkeypatch):
    """Harm: a refusal that leaves somebody guessing how a file for pairs looks."""
    monkeypatch.setitem(SOURCES, "told", source_of([[f"the {noun} sleeps ."] for noun in NOUNS]))
    with pytest.raises(CorpusError, match="a sentence a line and a blank line between texts"):
        open_pairs("told", tokenizer(), 24, 100, "sop")


def test_a_single_document_says_that_it_is_one(monkeypatch):
    """Harm: 'too few documents' for a book in one line."""
    monkeypatch.setitem(SOURCES, "told", source_of([["the girl sleeps ."]]))
    with pytest.raises(CorpusError, match="a single one.*blank lines"):
        open_corpus("told", tokenizer(), 24, 10)
