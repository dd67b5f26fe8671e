"""Corpora: how documents become rows of tokens, and which rows make a masked batch.

Every tenth document, by a hash of its text, is held out; it never reaches a training batch. Rows are tokenised once and
stay on disk; a batch reads its own. A batch is a pure function of the seed and the step, so a resumed run sees what an
uninterrupted one would have seen.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sized
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any, Protocol

import numpy as np

from engine.storage.cache import digest
from engine.text.masking import BERT_MASKING, Batch, Masking, mask_tokens
from engine.text.sources import Source, document_hash, find_source
from engine.text.token_store import CorpusError, Progress, TokenRows, open_token_rows

HELD_OUT_IN = 10  # one document in this many is held out
HELD_OUT_ROWS = 512  # rows that held-out scores are taken over, unless told otherwise
SORTED_BATCHES = 16  # this many batches are drawn together and sorted by length
MOST_UNKNOWN = 0.5  # more unknown words than this and the tokenizer does not speak the corpus's language
PACKING_VERSION = 2  # part of the name of stored rows: raise it wherever the same documents become other rows
SENTENCES = 256  # in one call of the tokenizer: one call for many is several times faster

Pack = Callable[[Iterable[list[str]], Any, int], Iterator[list[int]]]  # documents, tokenizer, length -> rows


class TrainingData(Protocol):
    """What a run learns from: training batches by step and seed, and batches that are held out."""

    @property
    def rows(self) -> Sized:
        """What it trains on."""

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The training batch of `step` (from 0)."""

    def held_out_batches(self, size: int = 64) -> Iterator[Batch]:
        """The same in every run."""


@dataclass(frozen=True, eq=False)  # hashed by identity: the order of an epoch is cached
class Corpus:
    """Rows of token ids, on disk."""

    name: str
    rows: TokenRows  # for training
    held_out: TokenRows
    tokenizer: Any
    masking: Masking = BERT_MASKING  # of training batches

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The training batch of `step` (from 0): every row once an epoch, in an order and with masks set by `seed`."""
        epochs, places = np.divmod(np.arange(step * size, (step + 1) * size), len(self.rows))
        windows, places = np.divmod(places, SORTED_BATCHES * size)
        chosen = np.empty(size, dtype=np.int64)
        for epoch, window in set(zip(epochs.tolist(), windows.tolist(), strict=True)):
            here = (epochs == epoch) & (windows == window)
            chosen[here] = self._window(size, seed, epoch, window)[places[here]]
        return mask_tokens(self.rows[chosen], self.tokenizer, np.random.default_rng([seed, 2, step]), self.masking)

    @functools.lru_cache(maxsize=2)  # noqa: B019 - a corpus lives as long as its run
    def _window(self, size: int, seed: int, epoch: int, window: int) -> np.ndarray:
        """The rows of SORTED_BATCHES batches: those of a batch alike in length, so that little padding is computed."""
        order, turns = self._epoch(size, seed, epoch)
        rows = order[window * SORTED_BATCHES * size :][: SORTED_BATCHES * size]
        rows = rows[np.argsort(self.rows.lengths(rows), kind="stable")]
        turn = turns[window]
        return np.concatenate([rows[: len(turn) * size].reshape(-1, size)[turn].ravel(), rows[len(turn) * size :]])

    @functools.lru_cache(maxsize=2)  # noqa: B019
    def _epoch(self, size: int, seed: int, epoch: int) -> tuple[np.ndarray, list[np.ndarray]]:
        """The rows of one epoch, shuffled, and of each window the order of its whole batches."""
        rng = np.random.default_rng([seed, 1, epoch])
        order = np.arange(len(self.rows), dtype=np.int32 if len(self.rows) < 2**31 else np.int64)
        rng.shuffle(order)
        window = SORTED_BATCHES * size
        return order, [
            rng.permutation(min(window, len(order) - start) // size) for start in range(0, len(order), window)
        ]

    def held_out_batches(self, size: int = 64) -> Iterator[Batch]:
        """The held-out rows with masks that are the same in every run, so that scores compare."""
        for index, start in enumerate(range(0, len(self.held_out), size)):
            yield mask_tokens(self.held_out[start : start + size], self.tokenizer, np.random.default_rng([0, 3, index]))


def open_corpus(
    name: str,
    tokenizer: Any,
    length: int,
    rows: int,
    held_out_rows: int | None = None,
    progress: Progress | None = None,
    masking: Masking = BERT_MASKING,
) -> Corpus:
    """The corpus `name` as rows of at most `length` tokens: `rows` of them for training, or what there is.

    A corpus is read and tokenised the first time only, as far as it is needed. `held_out_rows`: HELD_OUT_ROWS unless
    given. `masking`: what training batches hide. `progress` is told how many rows are read so far, as in
    `open_token_rows`.

    Raises:
        CorpusError: the corpus is unknown, missing, empty, or not in the tokenizer's language, or its rows cannot be
            stored.
    """
    source, part = _parts(name, tokenizer, length, packed_rows, [], progress)
    # the held-out rows first: they are few, and show whether the tokenizer speaks the language
    wanted = HELD_OUT_ROWS if held_out_rows is None else held_out_rows
    held_out = part(True, max(wanted, HELD_OUT_ROWS))
    sample = held_out.first(HELD_OUT_ROWS).tokens
    unknown = float((sample == tokenizer.unk_token_id).mean())
    if unknown > MOST_UNKNOWN:
        raise CorpusError(
            f"{unknown:.0%} of the words of {name} are unknown to this teacher's tokenizer; "
            "choose a corpus in the teacher's language."
        )
    training = part(False, min(rows, source.most_rows or rows))
    return Corpus(name, training, held_out.first(wanted), tokenizer, masking)


def open_sentences(
    name: str, tokenizer: Any, length: int, sentences: int, held_out_sentences: int, progress: Progress | None = None
) -> tuple[TokenRows, TokenRows]:
    """(training, held-out) sentences of the corpus `name`, one a row; one longer than `length` goes on in the next.

    A row begins with 0 where its document does, with 1 where the sentence before it is the row before it.

    Raises:
        CorpusError: as open_corpus.
    """
    _, part = _parts(name, tokenizer, length + 1, sentence_rows, ["sentences"], progress)
    return part(False, sentences), part(True, held_out_sentences)


def _parts(
    name: str, tokenizer: Any, length: int, pack: Pack, extra: list[str], progress: Progress | None
) -> tuple[Source, Callable[[bool, int], TokenRows]]:
    """The source of a corpus, and what gives so many of its held-out or training rows as `pack` makes them."""
    source, tokens = find_source(name), tokenizer.backend_tokenizer
    tokens.no_padding()  # some tokenizer files come with both switched on
    tokens.no_truncation()
    frame = [tokenizer.cls_token_id, tokenizer.sep_token_id]
    versions = [PACKING_VERSION, version("tokenizers")]
    about = [source.fingerprint(), digest(tokens.to_str()), frame, length, versions, *extra]
    largest = max(tokens.get_vocab().values())

    def part(held_out: bool, count: int) -> TokenRows:
        def make() -> Iterator[list[int]]:
            row, read = None, 0

            def counted() -> Iterator[list[str]]:
                nonlocal read
                for document in source.read():
                    read += 1
                    if (document_hash(document) % HELD_OUT_IN == 0) == held_out:
                        yield document

            for row in pack(counted(), tokenizer, length):  # noqa: UP028 - knows whether there was one
                yield row
            if row is None:
                if read == 1:
                    raise CorpusError(
                        f"The corpus {name} has too few documents: it is a single one, and some have to be held out; "
                        "part it into several, in a text file by blank lines or with one a line."
                    )
                raise CorpusError(
                    f"The corpus {name} has too few documents: about one in {HELD_OUT_IN}, chosen by a hash of its "
                    f"text, is held out, and this left none to {'hold out' if held_out else 'learn from'}. Add some."
                )

        return open_token_rows(
            [*about, "held out" if held_out else "training"],
            count,
            make,
            length=length,
            pad=tokenizer.pad_token_id,
            largest=largest,
            progress=progress,
        )

    return source, part


def packed_rows(documents: Iterable[list[str]], tokenizer: Any, length: int) -> Iterator[list[int]]:
    """The rows of each document, [CLS] sentences [SEP]: whole sentences while they fit; a longer one goes on."""
    room, cls, sep = length - 2, tokenizer.cls_token_id, tokenizer.sep_token_id
    for some in _gathered(documents):
        tokens = _encoded([sentence for document in some for sentence in document], tokenizer.backend_tokenizer)
        for document in some:
            row: list[int] = []
            for ids in itertools.islice(tokens, len(document)):
                if row and len(row) + len(ids) > room:
                    yield [cls, *row, sep]
                    row = []
                while len(ids) > room:  # in the next row, so that no token is lost
                    yield [cls, *ids[:room], sep]
                    ids = ids[room:]
                row += ids
            if row:
                yield [cls, *row, sep]


def sentence_rows(documents: Iterable[list[str]], tokenizer: Any, length: int) -> Iterator[list[int]]:
    """The sentences of each document, one a row, behind a 0 for the first and a 1 for the others; longer ones go on."""
    room = length - 1
    for some in _gathered(documents):
        tokens = _encoded([sentence for document in some for sentence in document], tokenizer.backend_tokenizer)
        for document in some:
            begun = False
            for ids in itertools.islice(tokens, len(document)):
                for start in range(0, len(ids), room):
                    yield [int(begun), *ids[start : start + room]]
                    begun = True


def _gathered(documents: Iterable[list[str]]) -> Iterator[list[list[str]]]:
    """Documents, as many together as one call of the tokenizer takes."""
    some: list[list[str]] = []
    sentences = 0
    for document in documents:
        some.append(document)
        sentences += len(document)
        if sentences >= SENTENCES:
            yield some
            some, sentences = [], 0
    yield some


def _encoded(sentences: list[str], tokenizer: Any) -> Iterator[list[int]]:
    for start in range(0, len(sentences), SENTENCES):
        for found in tokenizer.encode_batch_fast(sentences[start : start + SENTENCES], add_special_tokens=False):
            yield found.ids
