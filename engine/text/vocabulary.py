"""Tokens, their ids and a model's rows: the one place that knows that these three are not the same numbers.

Ids may have gaps (a word that vocab.txt holds twice keeps its later line), and a model's table may be padded to more
rows than there are tokens. So nothing counts tokens to find out about ids: the largest id decides what fits.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

import numpy as np

from engine.settings.error_text import first_line, on_one_line

WORDPIECE, SENTENCEPIECE = "##", "\u2581"  # goes on with a word (BERT); begins one (ALBERT)
MOST_WORDS_TRIED = 200
NO_WORD = "\ue000"  # a letter for private use, which no vocabulary has: what is unknown must have a token, too


class VocabularyError(ValueError):
    """A tokenizer that does not fit its model, in one sentence."""


def largest_id(tokenizer: Any) -> int:
    """The largest id that the tokenizer can give; -1 when it has no token at all."""
    return max(tokenizer.get_vocab().values(), default=-1)


def tokens_by_id(tokenizer: Any, rows: int | None = None) -> list[str]:
    """The token of every id from 0 on, an empty string where there is none; `rows` of them, None: to the largest id."""
    count = largest_id(tokenizer) + 1 if rows is None else rows
    tokens = [""] * count
    for token, id in tokenizer.get_vocab().items():
        if id < count:
            tokens[id] = token
    return tokens


def word_ids(tokenizer: Any) -> np.ndarray:
    """The ids that have a token which is not a special one, in order: (word,) int64."""
    return _word_ids(tokenizer, len(tokenizer), *tokenizer.all_special_ids)


@functools.lru_cache(maxsize=8)  # the numbers are in the key because a tokenizer may get another special token
def _word_ids(tokenizer: Any, count: int, *special: int) -> np.ndarray:
    there = [id for id, token in enumerate(tokens_by_id(tokenizer)) if token]
    return np.setdiff1d(np.array(there, dtype=np.int64), special)


@functools.lru_cache(maxsize=4)  # by the tokenizer itself: asking it for 30,000 words takes longer than a batch
def continues_word(tokenizer: Any) -> np.ndarray:
    """Which ids go on with the word before them: (largest id + 1,) bool; ids without a token do not."""
    tokens = tokens_by_id(tokenizer)
    if any(token.startswith(WORDPIECE) for token in tokens):
        return np.array([token.startswith(WORDPIECE) for token in tokens])
    if any(token.startswith(SENTENCEPIECE) for token in tokens):
        return np.array([bool(token) and not token.startswith(SENTENCEPIECE) for token in tokens])
    return np.zeros(len(tokens), dtype=bool)


def check_vocabulary(tokenizer: Any, rows: int) -> None:
    """Refuses a tokenizer that a model with `rows` rows in its word table cannot be used with.

    Raises:
        VocabularyError: it has ids beyond the table, no word but the special tokens, or knows none of its own words.
    """
    largest = largest_id(tokenizer)
    if largest >= rows:
        raise VocabularyError(
            f"The tokenizer's largest id is {largest:,} and the model has {rows:,} rows (0 to {rows - 1:,}); bring the "
            "tokenizer that the model was trained with."
        )
    roles = [tokenizer.pad_token_id, tokenizer.unk_token_id, tokenizer.cls_token_id, tokenizer.sep_token_id]
    if tokenizer.mask_token_id in roles:
        raise VocabularyError(f"The tokenizer's {tokenizer.mask_token} hides words and stands for something else, too.")
    words = word_ids(tokenizer)
    if not len(words):
        raise VocabularyError(
            f"The tokenizer knows no word, only {len(tokenizer):,} special tokens; its vocabulary file is empty or of "
            "another kind than the model's family reads."
        )
    tokens = tokens_by_id(tokenizer)
    step = max(1, len(words) // MOST_WORDS_TRIED)
    tried = [tokens[id].removeprefix(WORDPIECE).replace(SENTENCEPIECE, "") for id in words[::step]]
    try:
        known = tokenizer([*filter(None, tried), NO_WORD], add_special_tokens=False)["input_ids"][:-1]
    except Exception as error:  # its parts raise what they like, such as where [UNK] is not in the vocabulary
        raise VocabularyError(f"The tokenizer cannot be used: {first_line(error)[:100]}.") from error
    if not any(id != tokenizer.unk_token_id for ids in known for id in ids):
        raise VocabularyError(
            f"The tokenizer turns its own words into {tokenizer.unk_token}; bring the one that the model was trained "
            "with."
        )


def check_added_tokens(tokenizer: Any, declared: Mapping[str, int]) -> None:
    """Refuses a tokenizer that puts tokens where the model has not learned them, as `declared` (token -> id) says.

    The library gives a special token that its vocabulary lacks the next free id, without a word, and so it does with
    an added token whose own id is taken.

    Raises:
        VocabularyError: a special token is neither in the vocabulary nor declared, or an id is another one.
    """
    there = tokenizer.get_vocab()
    for token, id in declared.items():
        if there.get(token, id) != id:
            raise VocabularyError(
                f"The tokenizer's files give {on_one_line(token, 20)!r} the id {on_one_line(id, 12)}, and it is read "
                f"as {there[token]:,}; bring the tokenizer that the model was trained with."
            )
    own = tokenizer.backend_tokenizer.get_vocab(with_added_tokens=False)
    lacking = [token for token in tokenizer.all_special_tokens if token not in own and token not in declared]
    if lacking:
        raise VocabularyError(
            f"The tokenizer's vocabulary has no {on_one_line(lacking[0], 20)}, so that no row of the model was trained "
            "as it; bring the whole vocabulary."
        )


def lowercases_cased_words(tokenizer: Any) -> bool:
    """Whether the vocabulary has words with capital letters which the tokenizer, lowercasing, can never give."""
    tokens = tokens_by_id(tokenizer)
    cased = [id for id in word_ids(tokenizer) if tokens[id].lower() != tokens[id]][:MOST_WORDS_TRIED]
    if not cased:
        return False
    texts = [tokens[id].removeprefix(WORDPIECE).replace(SENTENCEPIECE, "") for id in cased]
    given = {id for ids in tokenizer(texts, add_special_tokens=False)["input_ids"] for id in ids}
    return not given.intersection(int(id) for id in cased)
