"""A look at a corpus before a run: masked examples, how long its rows are, how much of it the tokenizer knows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.text.corpora import HELD_OUT_IN, open_corpus
from engine.text.masking import BERT_MASKING, Masking, mask_tokens
from engine.text.sources import document_hash, find_source

DOCUMENTS = 2000  # counted at most, so that a preview takes seconds
CHARACTERS = 4_000_000
ROWS = 512  # training rows that are looked at
TOKEN_KINDS = ("plain", "hidden", "random", "kept")


@dataclass(frozen=True)
class Preview:
    """What a page can show of a corpus."""

    examples: list[list[tuple[str, str, str]]]  # rows of (token seen, its kind among TOKEN_KINDS, the true token)
    lengths: np.ndarray  # (row,) tokens of the first training rows
    longest: int  # tokens that a row can have
    documents: int
    held_out: int  # of them
    tokens: int
    unknown: float  # share of the tokens that the tokenizer does not know, 0 to 1
    whole: bool  # False: the counts are of the first documents only


def preview_corpus(
    name: str,
    tokenizer: Any,
    length: int,
    masking: Masking = BERT_MASKING,
    seed: int = 0,
    examples: int = 10,
) -> Preview:
    """Looks at the beginning of the corpus `name`; `seed` sets which tokens are hidden.

    Raises:
        CorpusError: as open_corpus.
    """
    corpus = open_corpus(name, tokenizer, length, ROWS, masking=masking)
    rows = corpus.rows.first(ROWS)
    documents = held_out = tokens = unknown = characters = 0
    source = iter(find_source(name).read())
    whole = False
    while documents < DOCUMENTS and characters < CHARACTERS:
        some = list(itertools.islice(source, 64))
        if not some:
            whole = True
            break
        for document in some:
            held_out += document_hash(document) % HELD_OUT_IN == 0
            characters += sum(map(len, document))
        sentences = [sentence for document in some for sentence in document]
        for found in tokenizer.backend_tokenizer.encode_batch_fast(sentences, add_special_tokens=False):
            tokens += len(found.ids)
            unknown += found.ids.count(tokenizer.unk_token_id)
        documents += len(some)
    return Preview(
        _examples(rows[:examples], tokenizer, masking, seed),
        rows.lengths(np.arange(len(rows))),
        length,
        documents,
        held_out,
        tokens,
        unknown / max(1, tokens),
        whole,
    )


def _examples(rows: np.ndarray, tokenizer: Any, masking: Masking, seed: int) -> list[list[tuple[str, str, str]]]:
    """Rows as a training batch shows them: (token seen, its kind, true token)."""
    batch = mask_tokens(rows, tokenizer, np.random.default_rng([seed, 2, 0]), masking)
    ids, width = batch.ids.numpy(), batch.ids.shape[1]
    told = []
    for row in range(len(ids)):
        seen = ids[row][batch.visible.numpy()[row]]
        true, kinds = rows[row, : len(seen)], ["plain"] * len(seen)
        for position in batch.positions.numpy()[batch.positions.numpy() // width == row] % width:
            if seen[position] == tokenizer.mask_token_id:
                kinds[position] = "hidden"
            else:
                kinds[position] = "kept" if seen[position] == true[position] else "random"
        words = (tokenizer.convert_ids_to_tokens([int(token) for token in part]) for part in (seen, true))
        told.append([(a, kind, b) for a, kind, b in zip(next(words), kinds, next(words), strict=True)])
    return told
