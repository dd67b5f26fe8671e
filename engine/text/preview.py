"""A look at a corpus before a run: masked examples, how long its rows are, how much of it the tokenizer knows."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np

from engine.text.corpora import HELD_OUT_IN, packed_rows, sentence_rows
from engine.text.masking import BERT_MASKING, Batch, Masking, mask_tokens
from engine.text.sentence_pairs import PairCorpus, open_text, segment_length
from engine.text.sources import document_hash, find_source

DOCUMENTS = 2000  # counted at most, so that a preview takes seconds
CHARACTERS = 4_000_000
ROWS = 512  # training rows that are looked at
TOKEN_KINDS = ("plain", "hidden", "random", "kept")


@dataclass(frozen=True)
class Preview:
    """What a page can show of a corpus."""

    examples: list[list[tuple[str, str, str]]]  # rows of (token seen, its kind among TOKEN_KINDS, the true token)
    lengths: np.ndarray  # (row,) tokens of the first training rows, or pairs
    longest: int  # tokens that a row can have
    documents: int
    held_out: int  # of them
    tokens: int
    unknown: float  # share of the tokens that the tokenizer does not know, 0 to 1
    rows: int  # that the documents become, or pairs; held-out ones too
    used: int  # tokens that stand in them
    whole: bool  # False: the counts are of the first documents only


def preview_corpus(
    name: str,
    tokenizer: Any,
    length: int,
    masking: Masking = BERT_MASKING,
    seed: int = 0,
    examples: int = 10,
    pairs: str = "none",
) -> Preview:
    """Looks at the beginning of the corpus `name`; `seed` sets which tokens are hidden, `pairs` is as in open_text.

    Raises:
        CorpusError: as open_corpus.
    """
    corpus = open_text(name, tokenizer, length, ROWS, pairs, masking)
    shown: Batch
    if isinstance(corpus, PairCorpus):
        batch = corpus.batch(0, ROWS, seed)
        shown, lengths = corpus.batch(0, examples, seed), batch.visible.sum(1).numpy()
    else:
        first = corpus.rows.first(ROWS)
        lengths = first.lengths(np.arange(len(first)))
        shown = mask_tokens(first[:examples], tokenizer, np.random.default_rng([seed, 2, 0]), masking)
    documents = held_out = tokens = unknown = characters = rows = used = 0
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
        more = _usage(some, tokenizer, length, pairs)
        rows, used = rows + more[0], used + more[1]
    return Preview(
        _examples(shown, tokenizer),
        lengths,
        length,
        documents,
        held_out,
        tokens,
        unknown / max(1, tokens),
        rows,
        used,
        whole,
    )


def _usage(documents: list[list[str]], tokenizer: Any, length: int, pairs: str) -> tuple[int, int]:
    """(rows, tokens in them without the frame) that training makes of `documents`; of pairs, those of one epoch."""
    if pairs == "none":
        made = [len(row) - 2 for row in packed_rows(documents, tokenizer, length)]
        return len(made), sum(made)
    rows = used = 0
    for document in documents:
        pieces = [len(row) - 1 for row in sentence_rows([document], tokenizer, segment_length(length) + 1)]
        if len(pieces) > 1:  # a single sentence has none to be paired with
            rows, used = rows + len(pieces) - 1, used + sum(pieces)
    return rows, used


def _examples(batch: Batch, tokenizer: Any) -> list[list[tuple[str, str, str]]]:
    """Rows of a training batch: (token seen, its kind, true token)."""
    width, told = batch.ids.shape[1], []
    ids, all_true = batch.ids.numpy(), batch.ids.clone()
    all_true.view(-1)[batch.positions] = batch.targets
    for row in range(len(ids)):
        seen = ids[row][batch.visible.numpy()[row]]
        true, kinds = all_true.numpy()[row, : len(seen)], ["plain"] * len(seen)
        for position in batch.positions.numpy()[batch.positions.numpy() // width == row] % width:
            if seen[position] == tokenizer.mask_token_id:
                kinds[position] = "hidden"
            else:
                kinds[position] = "kept" if seen[position] == true[position] else "random"
        words = (tokenizer.convert_ids_to_tokens([int(token) for token in part]) for part in (seen, true))
        told.append([(a, kind, b) for a, kind, b in zip(next(words), kinds, next(words), strict=True)])
    return told
