"""Text as masked batches: which documents exist, how they become rows of tokens, which tokens are hidden.

A corpus is named `microworld` or `nltk:NAME[+NAME...]`. Every tenth document, by a hash of its text, is held out; it
never reaches a training batch. A batch is a pure function of the seed and the step, so a resumed run sees what an
uninterrupted one would have seen.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import itertools
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine import microworld

HELD_OUT_IN = 10  # one document in this many is held out
HELD_OUT_ROWS = 512  # rows that held-out scores are taken over
SORTED_BATCHES = 16  # this many batches are drawn together and sorted by length
MASKED, AS_MASK, AS_RANDOM = 0.15, 0.8, 0.1  # BERT, section 3.1: 15% predicted; 80% hidden, 10% random, 10% as they are
MOST_UNKNOWN = 0.5  # more unknown words than this and the tokenizer does not speak the corpus's language


class CorpusError(ValueError):
    """A corpus that cannot be read, in one sentence."""


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
        return Batch(*(tensor.to(device, non_blocking=True) for tensor in pinned))

    def parts(self, count: int) -> list[Batch]:
        """The batch, still on the host, as `count` batches of neighbouring rows, even to a row."""
        rows, width = self.ids.shape
        edges = [rows * index // count for index in range(count + 1)]
        places = torch.searchsorted(self.positions, torch.tensor(edges) * width).tolist()
        return [
            Batch(self.ids[a:b], self.visible[a:b], self.positions[i:j] - a * width, self.targets[i:j])
            for (a, b), (i, j) in zip(itertools.pairwise(edges), itertools.pairwise(places), strict=True)
        ]


@dataclass(frozen=True, eq=False)  # hashed by identity: the order of an epoch is cached
class Corpus:
    """Rows of token ids, padded at the end."""

    name: str
    rows: np.ndarray  # (row, pos) int32, for training
    held_out: np.ndarray  # (row, pos) int32
    tokenizer: Any

    def batch(self, step: int, size: int, seed: int) -> Batch:
        """The training batch of `step` (from 0): every row once an epoch, in an order and with masks set by `seed`."""
        wanted = np.arange(step * size, (step + 1) * size)
        epochs, places = np.divmod(wanted, len(self.rows))
        chosen = np.empty(size, dtype=np.int64)
        for epoch in np.unique(epochs):
            chosen[epochs == epoch] = self._order(size, seed, int(epoch))[places[epochs == epoch]]
        return mask(self.rows[chosen], self.tokenizer, np.random.default_rng([seed, 2, step]))

    @functools.lru_cache(maxsize=2)  # noqa: B019 - a corpus lives as long as its run
    def _order(self, size: int, seed: int, epoch: int) -> np.ndarray:
        """The rows of one epoch, shuffled; those of a batch alike in length, so that little padding is computed."""
        rng = np.random.default_rng([seed, 1, epoch])
        shuffled, lengths = rng.permutation(len(self.rows)), (self.rows != self.tokenizer.pad_token_id).sum(1)
        order = []
        for start in range(0, len(shuffled), SORTED_BATCHES * size):
            window = shuffled[start : start + SORTED_BATCHES * size]
            window = window[np.argsort(lengths[window], kind="stable")]
            batches = [window[at : at + size] for at in range(0, len(window), size)]
            order += [batches[index] for index in rng.permutation(len(window) // size)] + batches[len(window) // size :]
        return np.concatenate(order)

    def held_out_batches(self, size: int = 64) -> Iterator[Batch]:
        """The held-out rows with masks that are the same in every run, so that scores compare."""
        for index, start in enumerate(range(0, len(self.held_out), size)):
            yield mask(self.held_out[start : start + size], self.tokenizer, np.random.default_rng([0, 3, index]))


def mask(rows: np.ndarray, tokenizer: Any, rng: np.random.Generator) -> Batch:
    """Hides tokens of `rows` (row, pos) as BERT does; special tokens and padding are never chosen."""
    rows = rows[:, : max(2, int((rows != tokenizer.pad_token_id).sum(1).max()))].astype(np.int64)
    maskable = ~np.isin(rows, tokenizer.all_special_ids)
    chance = np.where(maskable, rng.random(rows.shape), 2.0)
    chosen = chance < MASKED
    nothing = ~chosen.any(1) & maskable.any(1)  # a short row still teaches something: its likeliest token
    chosen[nothing, chance[nothing].argmin(1)] = True
    ids, fate = rows.copy(), rng.random(rows.shape)
    ids[chosen & (fate < AS_MASK)] = tokenizer.mask_token_id
    at_random = chosen & (fate >= AS_MASK) & (fate < AS_MASK + AS_RANDOM)
    words = np.setdiff1d(np.arange(len(tokenizer)), tokenizer.all_special_ids)
    ids[at_random] = rng.choice(words, at_random.sum())
    positions = np.flatnonzero(chosen)
    arrays = (ids, rows != tokenizer.pad_token_id, positions, rows.ravel()[positions])
    return Batch(*(torch.from_numpy(array) for array in arrays))


def find_corpus(name: str) -> Callable[[], Iterable[list[str]]]:
    """What reads the documents of the corpus `name`, each a list of sentences; nothing is read yet.

    Raises:
        CorpusError: the corpus is unknown, or not on this machine.
    """
    kind, _, rest = name.partition(":")
    if kind not in SOURCES:
        raise CorpusError(f"There is no corpus {name!r}; name one of {', '.join(SOURCES)}, such as nltk:brown.")
    return SOURCES[kind](rest)


def open_corpus(name: str, tokenizer: Any, length: int, rows: int) -> Corpus:
    """The corpus `name` as rows of at most `length` tokens; reading stops at `rows` training rows.

    Raises:
        CorpusError: the corpus is unknown, missing, empty, or not in the tokenizer's language.
    """
    read = find_corpus(name)
    train: list[list[int]] = []
    held_out: list[list[int]] = []
    unknown = total = 0
    for document, fresh in _packed(read(), tokenizer, length):
        target, enough = (held_out, HELD_OUT_ROWS) if _hash(document) % HELD_OUT_IN == 0 else (train, rows)
        if len(train) >= rows and len(held_out) >= HELD_OUT_ROWS:
            break
        target += fresh[: max(0, enough - len(target))]
        total += sum(map(len, fresh))
        unknown += sum(row.count(tokenizer.unk_token_id) for row in fresh)
    if not train or not held_out:
        raise CorpusError(f"The corpus {name} has too few documents: it takes one to learn from and one to hold out.")
    if unknown > MOST_UNKNOWN * total:
        raise CorpusError(
            f"{unknown / total:.0%} of the words of {name} are unknown to this teacher's tokenizer; "
            "choose a corpus in the teacher's language."
        )
    padded = [_pad(part, length, tokenizer.pad_token_id) for part in (train, held_out)]
    return Corpus(name, padded[0], padded[1], tokenizer)


def _packed(documents: Iterable[list[str]], tokenizer: Any, length: int) -> Iterator[tuple[list[str], list[list[int]]]]:
    """Each document with its rows of [CLS] sentences [SEP]: whole sentences while they fit, a longer one cut."""
    stream, room = iter(documents), length - 2
    tokenizer.backend_tokenizer.no_padding()  # some tokenizer files come with both switched on
    tokenizer.backend_tokenizer.no_truncation()
    while some := list(itertools.islice(stream, 256)):  # one tokenizer call for many is several times faster
        flat = [sentence for document in some for sentence in document]
        tokens = (found.ids for found in tokenizer.backend_tokenizer.encode_batch_fast(flat, add_special_tokens=False))
        for document in some:
            rows: list[list[int]] = [[]]
            for ids in itertools.islice(tokens, len(document)):
                if rows[-1] and len(rows[-1]) + len(ids) > room:
                    rows.append([])
                rows[-1] += ids[: room - len(rows[-1])]
            yield document, [[tokenizer.cls_token_id, *row, tokenizer.sep_token_id] for row in rows if row]


def _pad(rows: list[list[int]], length: int, pad: int) -> np.ndarray:
    padded = np.full((len(rows), length), pad, dtype=np.int32)
    for index, row in enumerate(rows):
        padded[index, : len(row)] = row
    return padded


def _hash(document: list[str]) -> int:
    return int.from_bytes(hashlib.blake2b("\n".join(document).encode(), digest_size=8).digest(), "big")


# ---- sources: what stands behind a name's colon -> a function that reads the documents -------------------------------


def _microworld(rest: str) -> Callable[[], Iterable[list[str]]]:
    if rest:
        raise CorpusError(f"The microworld has no parts, got {rest!r}; write microworld.")
    return _stories


def _stories() -> Iterator[list[str]]:
    for story in itertools.islice(microworld.documents(seed=0), 200_000):
        yield [" ".join(sentence) for sentence in story.sentences]


def _nltk(rest: str) -> Callable[[], Iterable[list[str]]]:
    files = [(_nltk_reader(name), name) for name in rest.split("+")]
    return lambda: _nltk_documents(files)


def _nltk_reader(name: str) -> Any:
    import nltk

    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise CorpusError(f"An NLTK corpus name has small letters, digits and _, got {name!r}; try nltk:brown.")
    reader = getattr(nltk.corpus, name, None)
    for place in (f"corpora/{name}", f"corpora/{name}.zip"):
        with contextlib.suppress(LookupError):
            nltk.data.find(place)
            if hasattr(reader, "fileids"):
                return reader
    raise CorpusError(
        f"The NLTK corpus {name} is not on this machine; fetch it with "
        f"`python -m nltk.downloader {name}`, or point NLTK_DATA at a folder that has it."
    )


def _nltk_documents(readers: list[tuple[Any, str]]) -> Iterator[list[str]]:
    """The documents in a mixed order that is the same on every machine, read one by one."""
    files = [(reader, name, fileid) for reader, name in readers for fileid in reader.fileids()]
    for reader, _, fileid in sorted(files, key=lambda file: _hash([file[1], file[2]])):
        if hasattr(reader, "tagged_sents"):  # sentence boundaries set by hand
            sentences = (" ".join(words) for words in reader.sents(fileid))
            document = [sentence.replace("``", '"').replace("''", '"') for sentence in sentences]
        else:
            document = re.split(r"(?<=[.!?])\s+", " ".join(reader.raw(fileid).split()))
        document = [sentence for sentence in document if sentence]
        if document:
            yield document


SOURCES: dict[str, Callable[[str], Callable[[], Iterable[list[str]]]]] = {"microworld": _microworld, "nltk": _nltk}
