"""Text as masked batches: how documents become rows of tokens, which rows make a batch, which tokens are hidden.

Every tenth document, by a hash of its text, is held out; it never reaches a training batch. Rows are tokenised once and
stay on disk; a batch reads its own. A batch is a pure function of the seed and the step, so a resumed run sees what an
uninterrupted one would have seen.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.cache import digest
from engine.sources import Source, document_number, find_corpus
from engine.token_store import CorpusError, Progress, Rows, open_rows

HELD_OUT_IN = 10  # one document in this many is held out
HELD_OUT_ROWS = 512  # rows that held-out scores are taken over, unless told otherwise
SORTED_BATCHES = 16  # this many batches are drawn together and sorted by length
MASKED, AS_MASK, AS_RANDOM = 0.15, 0.8, 0.1  # BERT, section 3.1: 15% predicted; 80% hidden, 10% random, 10% as they are
NGRAM = (1 / 1, 1 / 2, 1 / 3)  # chances of 1, 2 and 3 words in a row, to be normalised: ALBERT, section 4.1
MOST_UNKNOWN = 0.5  # more unknown words than this and the tokenizer does not speak the corpus's language
PACKING = 1  # part of the name of stored rows: raise it wherever the same documents become other rows
SENTENCES = 256  # in one call of the tokenizer: one call for many is several times faster

Pack = Callable[[Iterable[list[str]], Any, int], Iterator[list[int]]]  # documents, tokenizer, length -> rows


@dataclass(frozen=True)
class Batch:
    """A masked batch. Built on the host, so that no step waits for the device to count positions."""

    ids: Tensor  # (batch, pos) int64, some hidden
    visible: Tensor  # (batch, pos) bool, False at padding
    positions: Tensor  # (n,) int64, flat indices into batch x pos of what is to be predicted
    targets: Tensor  # (n,) int64, the true tokens there

    def to(self, device: str) -> Batch:
        """The same batch on `device`."""
        if device == "cpu":
            return self
        pinned = (t.pin_memory() if device == "cuda" else t for t in vars(self).values())
        return type(self)(*(tensor.to(device, non_blocking=True) for tensor in pinned))

    def parts(self, count: int) -> list[Batch]:
        """The batch, still on the host, as `count` batches of neighbouring rows, even to a row."""
        rows, width = self.ids.shape
        edges = [rows * index // count for index in range(count + 1)]
        places = torch.searchsorted(self.positions, torch.tensor(edges) * width).tolist()
        return [
            Batch(self.ids[a:b], self.visible[a:b], self.positions[i:j] - a * width, self.targets[i:j])
            for (a, b), (i, j) in zip(itertools.pairwise(edges), itertools.pairwise(places), strict=True)
        ]


@dataclass(frozen=True)
class Masking:
    """What is hidden in training."""

    kind: str = "token"  # token: each by itself; word: all tokens of a word; ngram: one to three words in a row
    share: float = MASKED  # of the tokens, as expected


@dataclass(frozen=True, eq=False)  # hashed by identity: the order of an epoch is cached
class Corpus:
    """Rows of token ids, on disk."""

    name: str
    rows: Rows  # for training
    held_out: Rows
    tokenizer: Any
    masking: Masking = Masking()  # of training batches

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The training batch of `step` (from 0): every row once an epoch, in an order and with masks set by `seed`."""
        epochs, places = np.divmod(np.arange(step * size, (step + 1) * size), len(self.rows))
        windows, places = np.divmod(places, SORTED_BATCHES * size)
        chosen = np.empty(size, dtype=np.int64)
        for epoch, window in set(zip(epochs.tolist(), windows.tolist(), strict=True)):
            here = (epochs == epoch) & (windows == window)
            chosen[here] = self._window(size, seed, epoch, window)[places[here]]
        return mask(self.rows[chosen], self.tokenizer, np.random.default_rng([seed, 2, step]), self.masking)

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
            yield mask(self.held_out[start : start + size], self.tokenizer, np.random.default_rng([0, 3, index]))


def mask(rows: np.ndarray, tokenizer: Any, rng: np.random.Generator, masking: Masking = Masking()) -> Batch:  # noqa: B008
    """Hides tokens of `rows` (row, pos) as BERT does; special tokens and padding are never chosen."""
    rows = rows[:, : max(2, int((rows != tokenizer.pad_token_id).sum(1).max()))].astype(np.int64)
    maskable = ~np.isin(rows, tokenizer.all_special_ids)
    if masking.kind == "token":
        chance = np.where(maskable, rng.random(rows.shape), 2.0)
        chosen = chance < masking.share
        nothing = ~chosen.any(1) & maskable.any(1)  # a short row still teaches something: its likeliest token
        chosen[nothing, chance[nothing].argmin(1)] = True
    else:
        chosen = _choose_words(rows, maskable, tokenizer, rng, masking)
    ids, fate = rows.copy(), rng.random(rows.shape)
    ids[chosen & (fate < AS_MASK)] = tokenizer.mask_token_id
    at_random = chosen & (fate >= AS_MASK) & (fate < AS_MASK + AS_RANDOM)
    ids[at_random] = rng.choice(_words(len(tokenizer), *tokenizer.all_special_ids), at_random.sum())
    positions = np.flatnonzero(chosen)
    arrays = (ids, rows != tokenizer.pad_token_id, positions, rows.ravel()[positions])
    return Batch(*(torch.from_numpy(array) for array in arrays))


def _choose_words(
    rows: np.ndarray, maskable: np.ndarray, tokenizer: Any, rng: np.random.Generator, masking: Masking
) -> np.ndarray:
    """Which tokens (row, pos) are hidden when whole words are, or runs of up to three words: bool."""
    begins = maskable & ~_continues(tokenizer)[rows]
    begins[:, 1:] |= maskable[:, 1:] & ~maskable[:, :-1]  # after a special token everything is a new word
    begins[:, 0] |= maskable[:, 0]
    word = np.maximum(begins.cumsum(1) - 1, 0)  # (row, pos): which word of its row a token belongs to
    count = begins.sum(1)
    exists = np.arange(max(1, word.max() + 1)) < count[:, None]  # (row, word)
    chance = np.where(exists, rng.random(exists.shape), 2.0)
    hidden = starts = chance < masking.share
    if masking.kind == "ngram":
        lengths = rng.choice(len(NGRAM), starts.shape, p=np.array(NGRAM) / sum(NGRAM)) + 1
        starts = chance < _start_chance(masking.share)
        hidden = starts.copy()
        for after in range(1, len(NGRAM)):
            hidden[:, after:] |= (starts & (lengths > after))[:, :-after]
        hidden &= exists
    nothing = ~hidden.any(1) & (count > 0)
    hidden[nothing, chance[nothing].argmin(1)] = True
    return maskable & np.take_along_axis(hidden, word, 1)


@functools.lru_cache(maxsize=8)
def _start_chance(share: float) -> float:
    """The chance with which a run of words starts at a word so that a word is hidden with the chance `share`.

    Runs may overlap: a word stays visible when no run that is long enough started at it or shortly before.
    """
    weights = np.array(NGRAM) / sum(NGRAM)
    reach = weights[::-1].cumsum()[::-1]  # chance that a run has more than 0, 1, 2 words
    low, high = 0.0, 1.0
    for _ in range(60):  # bisection: the share rises with the chance
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - np.prod(1 - middle * reach) < share else (low, middle)
    return low


@functools.lru_cache(maxsize=4)  # by the tokenizer itself: asking it for 30,000 words takes longer than a batch
def _continues(tokenizer: Any) -> np.ndarray:
    """Which tokens go on with the word before them: (vocabulary,) bool."""
    tokens = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    if any(token.startswith("##") for token in tokens):  # WordPiece, BERT
        return np.array([token.startswith("##") for token in tokens])
    if any(token.startswith("\u2581") for token in tokens):  # SentencePiece, ALBERT: words begin with this sign
        return np.array([not token.startswith("\u2581") for token in tokens])
    return np.zeros(len(tokens), dtype=bool)


@functools.lru_cache(maxsize=8)  # sorting 30,000 numbers takes longer than all the rest of a batch
def _words(vocabulary: int, *special: int) -> np.ndarray:
    """The tokens that are words: (word,) int64."""
    return np.setdiff1d(np.arange(vocabulary), special)


def open_corpus(
    name: str,
    tokenizer: Any,
    length: int,
    rows: int,
    held_out_rows: int | None = None,
    progress: Progress | None = None,
    masking: Masking = Masking(),  # noqa: B008 - frozen
) -> Corpus:
    """The corpus `name` as rows of at most `length` tokens: `rows` of them for training, or what there is.

    A corpus is read and tokenised the first time only, as far as it is needed. `held_out_rows`: HELD_OUT_ROWS unless
    given. `masking`: what training batches hide. `progress` is told how many rows are read so far, as in open_rows.

    Raises:
        CorpusError: the corpus is unknown, missing, empty, or not in the tokenizer's language, or its rows cannot be
            stored.
    """
    source, part = _parts(name, tokenizer, length, _packed, [], progress)
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
) -> tuple[Rows, Rows]:
    """(training, held-out) sentences of the corpus `name`, one a row, none longer than `length` tokens.

    A row begins with 0 where its document does, with 1 where the sentence before it is the row before it.

    Raises:
        CorpusError: as open_corpus.
    """
    _, part = _parts(name, tokenizer, length + 1, _single, ["sentences"], progress)
    return part(False, sentences), part(True, held_out_sentences)


def _parts(
    name: str, tokenizer: Any, length: int, pack: Pack, extra: list[str], progress: Progress | None
) -> tuple[Source, Callable[[bool, int], Rows]]:
    """The source of a corpus, and what gives so many of its held-out or training rows as `pack` makes them."""
    source, tokens = find_corpus(name), tokenizer.backend_tokenizer
    tokens.no_padding()  # some tokenizer files come with both switched on
    tokens.no_truncation()
    frame = [tokenizer.cls_token_id, tokenizer.sep_token_id]
    versions = [PACKING, version("tokenizers")]
    about = [source.fingerprint(), digest(tokens.to_str()), frame, length, versions, *extra]
    largest = max(tokens.get_vocab().values())

    def part(held_out: bool, count: int) -> Rows:
        def make() -> Iterator[list[int]]:
            documents = (it for it in source.read() if (document_number(it) % HELD_OUT_IN == 0) == held_out)
            row = None
            for row in pack(documents, tokenizer, length):  # noqa: UP028 - knows whether there was one
                yield row
            if row is None:
                raise CorpusError(
                    f"The corpus {name} has too few documents: it takes one to learn from and one to hold out."
                )

        return open_rows(
            [*about, "held out" if held_out else "training"],
            count,
            make,
            length=length,
            pad=tokenizer.pad_token_id,
            largest=largest,
            progress=progress,
        )

    return source, part


def _packed(documents: Iterable[list[str]], tokenizer: Any, length: int) -> Iterator[list[int]]:
    """The rows of each document, [CLS] sentences [SEP]: whole sentences while they fit, a longer one cut."""
    room, cls, sep = length - 2, tokenizer.cls_token_id, tokenizer.sep_token_id
    for some in _gathered(documents):
        tokens = _encoded([sentence for document in some for sentence in document], tokenizer.backend_tokenizer)
        for document in some:
            row: list[int] = []
            for ids in itertools.islice(tokens, len(document)):
                if row and len(row) + len(ids) > room:
                    yield [cls, *row, sep]
                    row = []
                row += ids[: room - len(row)]
            if row:
                yield [cls, *row, sep]


def _single(documents: Iterable[list[str]], tokenizer: Any, length: int) -> Iterator[list[int]]:
    """The sentences of each document, one a row, behind a 0 for the first and a 1 for the others."""
    for some in _gathered(documents):
        tokens = _encoded([sentence for document in some for sentence in document], tokenizer.backend_tokenizer)
        for document in some:
            begun = False
            for ids in itertools.islice(tokens, len(document)):
                if ids:
                    yield [int(begun), *ids[: length - 1]]
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
