"""Sentence pairs as masked batches: two segments of a text, and whether they follow each other.

Segments are whole sentences of real documents. SOP (sentence order, ALBERT, arXiv 1909.11942, section 3.1): both from
one document, in order or swapped. NSP (next sentence, BERT, arXiv 1810.04805, section 3.1): the second follows, or
comes from another document. A batch is a pure function of the seed and the step, as in engine/text/corpora.py.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.text.corpora import HELD_OUT_ROWS, Corpus, open_corpus, open_sentences
from engine.text.masking import BERT_MASKING, Batch, Masking, mask_tokens
from engine.text.token_store import CorpusError, Progress, TokenRows

PAIR_KINDS = ("sop", "nsp")
NEGATIVE_SHARE = 0.5  # share of the pairs that are swapped, or not each other's next


@dataclass(frozen=True)
class PairBatch(Batch):
    """A masked batch of rows [CLS] first [SEP] second [SEP]."""

    types: Tensor  # (batch, pos) int64: 0 up to the first [SEP], 1 after it; 0 at padding
    labels: Tensor  # (batch,) int64: 0 in order, or next; 1 swapped, or from another document

    def split(self, count: int) -> list[Batch]:
        """As Batch.split; each part keeps the types and labels of its rows."""
        rows = len(self.ids)
        edges = [rows * index // count for index in range(count + 1)]
        return [
            PairBatch(part.ids, part.visible, part.positions, part.targets, self.types[a:b], self.labels[a:b])
            for part, (a, b) in zip(super().split(count), itertools.pairwise(edges), strict=True)
        ]


@dataclass(frozen=True, eq=False)  # hashed by identity: what it knows of its rows is cached
class PairCorpus:
    """Sentences on disk, paired when they are asked for. Where a Corpus gives batches, this gives pair batches."""

    name: str
    rows: TokenRows  # for training: sentences behind a mark, as corpora.open_sentences makes them
    held_out: TokenRows
    tokenizer: Any
    kind: str
    length: int
    masking: Masking = BERT_MASKING

    def batch(self, step: int, size: int, seed: int) -> PairBatch:
        """The training batch of `step` (from 0): a pair from every sentence once an epoch."""
        store = _SentenceStore.of(self.rows)
        epochs, places = np.divmod(np.arange(step * size, (step + 1) * size), len(store.firsts))
        firsts = np.array([self._order(seed, int(e))[p] for e, p in zip(epochs, places, strict=True)])
        return self._paired(store, firsts, np.random.default_rng([seed, 5, step]), self.masking)

    @functools.lru_cache(maxsize=2)  # noqa: B019 - lives as long as its run
    def _order(self, seed: int, epoch: int) -> np.ndarray:
        return np.random.default_rng([seed, 4, epoch]).permutation(_SentenceStore.of(self.rows).firsts)

    def held_out_batches(self, size: int = 64) -> Iterator[PairBatch]:
        """Held-out pairs, the same in every run, so that scores compare."""
        store = _SentenceStore.of(self.held_out)
        firsts = np.random.default_rng([0, 4]).permutation(store.firsts)[:HELD_OUT_ROWS]
        for index, start in enumerate(range(0, len(firsts), size)):
            rng = np.random.default_rng([0, 5, index])
            yield self._paired(store, firsts[start : start + size], rng, Masking())

    def _paired(
        self, store: _SentenceStore, firsts: np.ndarray, rng: np.random.Generator, masking: Masking
    ) -> PairBatch:
        """The pairs that begin with the sentences `firsts` (pair,)."""
        labels = (rng.random(len(firsts)) < NEGATIVE_SHARE).astype(np.int64)
        tokens = np.full((len(firsts), self.length), self.tokenizer.pad_token_id)
        types = np.zeros(tokens.shape, dtype=np.int64)
        cls, sep, room = self.tokenizer.cls_token_id, self.tokenizer.sep_token_id, self.length - 3
        for row, (first, wrong) in enumerate(zip(firsts.tolist(), labels.tolist(), strict=True)):
            one, after = store.segment(first, segment_length(self.length), spare=1)
            if wrong and self.kind == "nsp":
                after = store.other_document(first, rng)
            two, _ = store.segment(after, room - len(one))
            if wrong and self.kind == "sop":
                one, two = two, one
            ids = [cls, *one, sep, *two, sep]
            tokens[row, : len(ids)] = ids
            types[row, len(one) + 2 : len(ids)] = 1
        batch = mask_tokens(tokens, self.tokenizer, rng, masking)
        cut = torch.from_numpy(types[:, : batch.ids.shape[1]].copy())
        return PairBatch(batch.ids, batch.visible, batch.positions, batch.targets, cut, torch.from_numpy(labels))


@dataclass(frozen=True, eq=False)
class _SentenceStore:
    """Stored sentences, and which document each is of."""

    rows: TokenRows
    document: np.ndarray  # (row,) int64: which document a sentence is of
    firsts: np.ndarray  # sentences that another of the same document follows

    @staticmethod
    @functools.lru_cache(maxsize=4)
    def of(rows: TokenRows) -> _SentenceStore:
        begins = rows.tokens[rows.starts[:-1]] == 0
        return _SentenceStore(rows, begins.cumsum(), np.flatnonzero(~begins[1:]))

    def segment(self, start: int, room: int, spare: int = 0) -> tuple[list[int], int]:
        """(tokens, next sentence) of the whole sentences from `start` on that fit, the first one cut if it must be.

        At least `spare` sentences of the document are left over.
        """
        last = int(np.searchsorted(self.document, self.document[start], side="right")) - spare
        found: list[int] = []
        for sentence in range(start, last):
            a, b = int(self.rows.starts[sentence]) + 1, int(self.rows.starts[sentence + 1])
            if found and len(found) + b - a > room:
                return found, sentence
            found += self.rows.tokens[a : min(b, a + room)].tolist()
        return found, last

    def other_document(self, sentence: int, rng: np.random.Generator) -> int:
        """A sentence of another document."""
        own = np.flatnonzero(self.document == self.document[sentence])
        other = int(rng.integers(len(self.document) - len(own)))
        return other if other < own[0] else other + len(own)


def segment_length(length: int) -> int:
    """Most tokens of a sentence in pairs of `length`: a longer one goes on as the next, so that all of it is used."""
    return (length - 3) // 2


def open_text(
    name: str, tokenizer: Any, length: int, rows: int, pairs: str = "none", masking: Masking = BERT_MASKING
) -> Corpus | PairCorpus:
    """The corpus `name` as its rows, or as sentence pairs of the kind `pairs`.

    Raises:
        CorpusError: as open_corpus and open_pairs.
    """
    if pairs == "none":
        return open_corpus(name, tokenizer, length, rows, masking=masking)
    return open_pairs(name, tokenizer, length, rows, pairs, masking)


def open_pairs(
    name: str,
    tokenizer: Any,
    length: int,
    rows: int,
    kind: str,
    masking: Masking = BERT_MASKING,
    progress: Progress | None = None,
) -> PairCorpus:
    """The corpus `name` as sentence pairs of at most `length` tokens, about `rows` different ones for training.

    `kind`: sop or nsp.

    Raises:
        CorpusError: as open_corpus; or no document has two sentences, or NSP has a single document.
    """
    if kind not in PAIR_KINDS:
        raise CorpusError(f"Sentence pairs are of the kind {' or '.join(PAIR_KINDS)}, got {kind!r}.")
    training, held_out = open_sentences(name, tokenizer, segment_length(length), 2 * rows, 8 * HELD_OUT_ROWS, progress)
    for part in (training, held_out):
        store = _SentenceStore.of(part)
        if not len(store.firsts):
            raise CorpusError(
                f"No document of {name} has two sentences; put those of a text together, in a text file a "
                "sentence a line and a blank line between texts."
            )
        if kind == "nsp" and store.document[-1] == 1:
            raise CorpusError(f"{name} has too few documents for next-sentence pairs, which need another one each.")
    return PairCorpus(name, training, held_out, tokenizer, kind, length, masking)
