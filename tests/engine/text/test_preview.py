"""A preview is what training will see."""

import numpy as np
import pytest

from engine.text import corpora, preview
from engine.text.masking import Masking, mask_tokens
from engine.text.preview import TOKEN_KINDS
from engine.text.sources import SOURCES
from tests.fixtures.builders import source_of, tokenizer

pytestmark = pytest.mark.usefixtures("few_held_out")
NOUNS = sorted(word for word in tokenizer().get_vocab() if word.isalpha())[:150]


@pytest.fixture
def told(monkeypatch):
    """A corpus of 150 documents of two sentences, one word in eight unknown."""
    documents = [[f"the {noun} sleeps .", f"xyzzy the {noun} ."] for noun in NOUNS]
    monkeypatch.setitem(SOURCES, "told", source_of(documents))
    return documents


def test_counts_are_those_of_the_text(told):
    """Harm: 'no unknown words' for a text in another language."""
    found = preview.preview_corpus("told", tokenizer(), 16)
    assert (found.documents, found.whole) == (150, True)
    assert (found.tokens, found.unknown) == (150 * 8, pytest.approx(1 / 8))
    numbers = [corpora.document_hash(document) % corpora.HELD_OUT_IN == 0 for document in told]
    assert found.held_out == sum(numbers)
    assert (found.lengths == 10).all()
    assert len(found.lengths) == 150 - found.held_out


def test_a_long_corpus_is_counted_from_its_beginning(told, monkeypatch):
    """Harm: a preview of a minute, or counts of a part that pass for the whole."""
    monkeypatch.setattr(preview, "DOCUMENTS", 64)
    found = preview.preview_corpus("told", tokenizer(), 16)
    assert (found.documents, found.whole) == (64, False)


@pytest.mark.parametrize("masking", [Masking(), Masking("ngram", 0.4)])
def test_examples_show_what_training_hides(told, masking):
    """Harm: colours that say something else than the batch."""
    found = preview.preview_corpus("told", tokenizer(), 16, masking, seed=3)
    assert len(found.examples) == 10
    rows = corpora.open_corpus("told", tokenizer(), 16, preview.ROWS).rows[:10]
    batch = mask_tokens(rows, tokenizer(), np.random.default_rng([3, 2, 0]), masking)
    chosen = np.zeros(batch.ids.shape, dtype=bool)
    chosen.ravel()[batch.positions.numpy()] = True
    for row, example in enumerate(found.examples):
        assert [seen for seen, _, _ in example] == tokenizer().convert_ids_to_tokens(batch.ids[row].tolist())
        assert [true for _, _, true in example] == tokenizer().convert_ids_to_tokens(rows[row][: len(example)].tolist())
        for place, (seen, kind, true) in enumerate(example):
            assert kind in TOKEN_KINDS
            assert (kind != "plain") == chosen[row, place]
            assert (kind == "hidden") == (seen == "[MASK]")
            assert kind in ("hidden", "random") or seen == true
