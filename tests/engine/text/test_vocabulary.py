"""Tokens, ids and rows where they are not the same numbers: gaps, padded tables, empty tokenizers."""

import numpy as np
import pytest
import torch
import transformers

from engine.inspection.fill_in import blank_agreement, fill_in
from engine.model.bert import Bert
from engine.sizing.shape import Shape
from engine.text.masking import Masking, mask_tokens
from engine.text.vocabulary import (
    VocabularyError,
    check_vocabulary,
    continues_word,
    largest_id,
    lowercases_cased_words,
    tokens_by_id,
    word_ids,
)
from tests.fixtures.builders import new_tokenizer

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*SPECIAL, "the", "girl", "sleep", "##s", ".", "dog"]


def tokenizer_of(lines: list[str], folder, **settings):
    """What the library makes of a vocab.txt with these lines."""
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n")
    (folder / "config.json").write_text('{"model_type": "bert"}')
    return transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, **settings)


GAPS = {
    "a word twice": [*WORDS[:6], "the", *WORDS[6:]],
    "a word three times": [*WORDS, "girl", "cat", "girl"],
    "empty lines": [*WORDS[:7], "", "", *WORDS[7:]],
    "a gap at the end": [*WORDS, "dog"],
}


@pytest.mark.parametrize("kind", ["token", "word", "ngram"])
@pytest.mark.parametrize("gap", GAPS)
def test_ids_with_gaps_are_masked_and_only_tokens_are_drawn(gap, kind, tmp_path):
    """Harm: a traceback in the masking, or training on ids that no text has."""
    tokenizer = tokenizer_of(GAPS[gap], tmp_path)
    row = tokenizer("the girl sleeps . the dog sleeps . the girl")["input_ids"]
    batch = mask_tokens(np.array([row] * 200), tokenizer, np.random.default_rng(0), Masking(kind, 0.5))
    tokens = tokens_by_id(tokenizer)
    assert all(tokens[id] for id in np.unique(batch.ids.numpy()))
    assert {tokens[id] for id in word_ids(tokenizer)} == set(filter(None, GAPS[gap])) - set(SPECIAL)
    assert len(continues_word(tokenizer)) == len(tokens) == largest_id(tokenizer) + 1
    assert np.flatnonzero(continues_word(tokenizer)).tolist() == [tokens.index("##s")]


@pytest.mark.parametrize("gap", GAPS)
def test_what_fits_a_table_is_decided_by_the_largest_id(gap, tmp_path):
    """Harm: a model with a row for each token, but not for each id, fails in the middle of a run."""
    tokenizer = tokenizer_of(GAPS[gap], tmp_path)
    check_vocabulary(tokenizer, largest_id(tokenizer) + 1)
    with pytest.raises(VocabularyError, match=f"largest id is {largest_id(tokenizer)}"):
        check_vocabulary(tokenizer, largest_id(tokenizer))
    assert largest_id(tokenizer) >= len(tokenizer) - 1


def test_nothing_is_offered_that_has_no_token():
    """Harm: a table padded to 256 rows crashes Fill in, or a blank is filled with nothing."""
    tokenizer = new_tokenizer()
    bert = padded(256)
    found = fill_in(bert, tokenizer, "The girl [MASK].")
    offered = found.candidates(0, 300)
    assert len(offered) == len(tokenizer)
    assert all(isinstance(word, str) and word for word, _ in offered)
    np.testing.assert_allclose(found.probabilities.sum(-1), 1, rtol=1e-5)
    assert blank_agreement(found, found) == [(True, pytest.approx(1, abs=1e-5))]


def padded(rows: int):
    """A tiny model with more rows than the microworld has tokens; the padding is what it likes best."""
    torch.manual_seed(0)
    bert = Bert(Shape(layers=1, hidden=16, heads=2, ffn=16, positions=32, vocab=rows)).eval()
    with torch.no_grad():
        bert.head.bias[len(new_tokenizer()) :] = 9.0
    return bert


@pytest.mark.parametrize("lines", [SPECIAL, [*SPECIAL, *SPECIAL]], ids=["special tokens only", "twice"])
def test_a_tokenizer_without_words_is_refused(lines, tmp_path):
    """Harm: every word of a corpus becomes [UNK], and a run learns nothing for hours."""
    with pytest.raises(VocabularyError, match="knows no word"):
        check_vocabulary(tokenizer_of(lines, tmp_path), 500)


def test_a_tokenizer_that_cannot_give_its_own_words_is_refused(tmp_path):
    """Harm: a vocabulary of another alphabet of cases turns every word into [UNK]."""
    tokenizer = tokenizer_of([*SPECIAL, "THE", "GIRL", "SLEEPS"], tmp_path)
    with pytest.raises(VocabularyError, match="its own words into"):
        check_vocabulary(tokenizer, 500)


def test_a_cased_vocabulary_that_is_lowercased_is_known(tmp_path):
    """Harm: a cased model reads lowercased text, and nobody says so."""
    cased = [*WORDS, "The", "Girl"]
    assert lowercases_cased_words(tokenizer_of(cased, tmp_path))
    assert not lowercases_cased_words(tokenizer_of(cased, tmp_path, do_lower_case=False))
    assert not lowercases_cased_words(tokenizer_of(WORDS, tmp_path))
