"""Tokenizers out of files and out of words, in every version of the library that may be installed."""

import json

import pytest
import sentencepiece

from engine.settings.transformers_import import bert_tokenizer, tokenizer_in

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "cat", "##s", "sat", "."]


def test_words_become_a_tokenizer_of_their_ids(tmp_path) -> None:
    """Harm: the library of another version takes the words for something else, and every word becomes [UNK]."""
    made = bert_tokenizer({word: index for index, word in enumerate(WORDS)})
    assert made.is_fast
    assert made("A cats sat.")["input_ids"] == [2, 5, 6, 7, 8, 9, 3]
    assert made.convert_ids_to_tokens(list(range(len(WORDS)))) == WORDS
    made.save_pretrained(tmp_path)
    for again in (bert_tokenizer(tmp_path), tokenizer_in(tmp_path)):
        assert again("A cats sat.")["input_ids"] == [2, 5, 6, 7, 8, 9, 3]
    with pytest.raises(OSError, match=r"\w"):
        bert_tokenizer(tmp_path / "nothing")


def test_an_albert_that_has_only_a_sentencepiece_model_is_read(tmp_path) -> None:
    """Harm: real ALBERTs come so; the library reads them with sentencepiece, which it does not ask for by itself."""
    text = ["the cat sat on the mat", "a dog ran over the green hill", "cats and dogs sat on hills"] * 50
    with open(tmp_path / "spiece.model", "wb") as file:
        sentencepiece.SentencePieceTrainer.train(
            sentence_iterator=iter(text), model_writer=file, vocab_size=60, hard_vocab_limit=False, pad_id=0, unk_id=1,
            bos_id=-1, eos_id=-1, user_defined_symbols=["[CLS]", "[SEP]", "[MASK]"], minloglevel=2,
        )  # fmt: skip
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "albert"}))
    read = tokenizer_in(tmp_path)
    theirs = sentencepiece.SentencePieceProcessor(model_file=str(tmp_path / "spiece.model"))
    expected = theirs.encode("the cat sat on the mat")
    assert read("the cat sat on the mat", add_special_tokens=False)["input_ids"] == expected
    assert theirs.unk_id() not in expected
