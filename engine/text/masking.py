"""Masking: which tokens of a row are hidden, and the batch that asks for them (BERT, arXiv 1810.04805, section 3.1)."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from engine.sizing.footprint import MASKED_SHARE
from engine.text.vocabulary import continues_word, word_ids

MASK_TOKEN_SHARE, RANDOM_TOKEN_SHARE = 0.8, 0.1  # of the predicted 15%, as BERT, section 3.1; 10% stay as they are
NGRAM_WEIGHTS = (1 / 1, 1 / 2, 1 / 3)  # chances of 1, 2 and 3 words in a row, to be normalised: ALBERT, section 4.1


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

    def split(self, count: int) -> list[Batch]:
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
    share: float = MASKED_SHARE  # of the tokens, as expected


BERT_MASKING = Masking()


def mask_tokens(rows: np.ndarray, tokenizer: Any, rng: np.random.Generator, masking: Masking = BERT_MASKING) -> Batch:
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
    ids[chosen & (fate < MASK_TOKEN_SHARE)] = tokenizer.mask_token_id
    at_random = chosen & (fate >= MASK_TOKEN_SHARE) & (fate < MASK_TOKEN_SHARE + RANDOM_TOKEN_SHARE)
    ids[at_random] = rng.choice(word_ids(tokenizer), at_random.sum())
    positions = np.flatnonzero(chosen)
    arrays = (ids, rows != tokenizer.pad_token_id, positions, rows.ravel()[positions])
    return Batch(*(torch.from_numpy(array) for array in arrays))


def _choose_words(
    rows: np.ndarray, maskable: np.ndarray, tokenizer: Any, rng: np.random.Generator, masking: Masking
) -> np.ndarray:
    """Which tokens (row, pos) are hidden when whole words are, or runs of up to three words: bool."""
    begins = maskable & ~continues_word(tokenizer)[rows]
    begins[:, 1:] |= maskable[:, 1:] & ~maskable[:, :-1]  # after a special token everything is a new word
    begins[:, 0] |= maskable[:, 0]
    word = np.maximum(begins.cumsum(1) - 1, 0)  # (row, pos): which word of its row a token belongs to
    count = begins.sum(1)
    exists = np.arange(max(1, word.max() + 1)) < count[:, None]  # (row, word)
    chance = np.where(exists, rng.random(exists.shape), 2.0)
    hidden = starts = chance < masking.share
    if masking.kind == "ngram":
        lengths = rng.choice(len(NGRAM_WEIGHTS), starts.shape, p=np.array(NGRAM_WEIGHTS) / sum(NGRAM_WEIGHTS)) + 1
        starts = chance < _start_chance(masking.share)
        hidden = starts.copy()
        for after in range(1, len(NGRAM_WEIGHTS)):
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
    weights = np.array(NGRAM_WEIGHTS) / sum(NGRAM_WEIGHTS)
    reach = weights[::-1].cumsum()[::-1]  # chance that a run has more than 0, 1, 2 words
    low, high = 0.0, 1.0
    for _ in range(60):  # bisection: the share rises with the chance
        middle = (low + high) / 2
        low, high = (middle, high) if 1 - np.prod(1 - middle * reach) < share else (low, middle)
    return low
