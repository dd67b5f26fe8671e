"""What heads do: how much of each head's attention lands where grammar, or mere position, says that it should.

Gold relations come from the microworld's stories. A high share alone means little: a head that always looks at the next
word finds most nouns of determiners. So every figure stands beside two nulls: attention spread evenly over the other
words, and a head that looks a fixed number of words ahead or back (the baseline of Clark et al., What Does BERT Look
At?, arXiv 1906.04341).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine.learning.held_out import attention_maps
from engine.learning.intervals import clustered_interval
from engine.model.bert import Bert
from engine.text import microworld
from engine.text.corpora import HELD_OUT_IN
from engine.text.microworld import Document
from engine.text.sources import MICROWORLD_SEED, document_hash

PATTERNS = {
    "previous": "the token before",
    "next": "the token after",
    "self": "the token itself",
    "first": "the first token, [CLS]",
    "separator": "[SEP]",
}
ROWS_AT_ONCE = 32

Progress = Callable[[float], None]  # which share is done, 0 to 1


@dataclass(frozen=True)
class GoldAttention:
    """Attention from the words of one relation to the words that they belong to, a case each."""

    mass: np.ndarray  # (case, layer, head) 0-1; not a number where a layer has fewer heads
    story: np.ndarray  # (case,) which document
    uniform: np.ndarray  # (case,) what attention spread evenly over the other words of the story would give
    offset: np.ndarray  # (case,) how many words after (+) or before (-) it the gold word stands

    @property
    def means(self) -> np.ndarray:
        """(layer, head) mean attention to the gold word, 0-1."""
        return self.mass.mean(0)


@dataclass(frozen=True)
class BestHead:
    """The head that serves a relation best: chosen on one half of the stories, measured on the other."""

    layer: int  # from 0
    head: int
    value: float  # 0-1
    interval: float | None  # half the 95% one, stories being what was drawn; None for one story
    uniform: float
    offset: int  # the commonest distance of the first half, in words
    at_offset: float  # 0-1: what a head that always looks there would find in the second half
    cases: int  # of the second half


@torch.no_grad()
def gold_attention(
    bert: Bert,
    tokenizer: Any,
    documents: Sequence[Document],
    hide_source: bool = False,
    progress: Progress | None = None,
) -> dict[str, GoldAttention]:
    """How much every head of `bert` attends from each gold relation's source word to its target word, by relation.

    A word of several tokens looks as its tokens do on average, and is looked at with all of them together.
    `hide_source`: the word that looks stands behind [MASK], as in training, where it is asked for. Documents that do
    not fit into the model's positions are left out.
    """
    rows: list[tuple[list[int], list[tuple[int, Any, list[int], list[int]]]]] = []
    for story, document in enumerate(documents):
        encoded = tokenizer(document.words, is_split_into_words=True)
        ids, places = list(encoded["input_ids"]), _token_positions(encoded.word_ids(), len(document.words))
        cases = [(story, relation, places[relation.source], places[relation.target]) for relation in document.relations]
        cases = [case for case in cases if case[2] and case[3]]
        if not cases or len(ids) > bert.shape.positions:
            continue
        if not hide_source:
            rows.append((ids, cases))
        else:
            rows += [([tokenizer.mask_token_id if i in c[2] else t for i, t in enumerate(ids)], [c]) for c in cases]
    rows.sort(key=lambda row: len(row[0]))
    found: dict[str, list[tuple[np.ndarray, int, float, int]]] = {}
    pad = tokenizer.pad_token_id
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        width = max(len(ids) for ids, _ in some)
        batch = np.array([ids + [pad] * (width - len(ids)) for ids, _ in some])
        for maps, (_, cases) in zip(attention_maps(bert, batch, pad), some, strict=True):
            for story, relation, source, target in cases:
                cells = (np.s_[:], source[0], target[0]) if len(source) == len(target) == 1 else None
                mass = _layer_head_table(
                    [layer[cells] if cells else layer[:, source][:, :, target].sum(-1).mean(-1) for layer in maps]
                )
                others = len(documents[story].words) - 1
                case = (mass, story, 1 / max(1, others), relation.target - relation.source)
                found.setdefault(relation.name, []).append(case)
        if progress:
            progress(min(1.0, (start + ROWS_AT_ONCE) / len(rows)))
    return {
        name: GoldAttention(*(np.array(part) for part in zip(*cases, strict=True)))
        for name, cases in sorted(found.items())
    }


def gold_stories(count: int) -> list[Document]:
    """The first `count` stories of the microworld that are held out: no training batch has seen them."""
    stories = microworld.documents(MICROWORLD_SEED)
    # as engine.text.sources does
    texts = ((story, [" ".join(sentence) for sentence in story.sentences]) for story in stories)
    held_out = (story for story, text in texts if document_hash(text) % HELD_OUT_IN == 0)
    return list(itertools.islice(held_out, count))


def best_head(gold: GoldAttention) -> BestHead | None:
    """The head with the most attention on the gold word in every second story, measured in the others.

    Measured where it was chosen, the best of many heads looks better than it is. None: too few stories.
    """
    first, second = gold.story % 2 == 0, gold.story % 2 == 1
    if not first.any() or not second.any():
        return None
    means = np.nan_to_num(gold.mass[first].mean(0), nan=-1.0)
    layer, head = (int(place) for place in np.unravel_index(means.argmax(), means.shape))
    values, counts = np.unique(gold.offset[first], return_counts=True)
    offset = int(values[counts.argmax()])
    mass, stories = gold.mass[second, layer, head], gold.story[second]
    return BestHead(
        layer,
        head,
        float(mass.mean()),
        clustered_interval(mass, stories),
        float(gold.uniform[second].mean()),
        offset,
        float((gold.offset[second] == offset).mean()),
        int(second.sum()),
    )


@torch.no_grad()
def positional_attention(
    bert: Bert, rows: np.ndarray, tokenizer: Any, progress: Progress | None = None
) -> dict[str, tuple[np.ndarray, float]]:
    """Of each of PATTERNS: (layer, head) the mean attention that words give there, 0-1, and what even attention gives.

    `rows` (row, pos) token ids, padded. Looked from: every token but special ones; padding is not seen.
    """
    special = np.array(tokenizer.all_special_ids)
    sums: dict[str, Any] = dict.fromkeys(PATTERNS, 0.0)
    even, words = dict.fromkeys(PATTERNS, 0.0), 0
    for number, maps in enumerate(attention_maps(bert, rows, tokenizer.pad_token_id)):
        size = maps[0].shape[-1]
        ids = rows[number, :size]
        sources = np.flatnonzero(~np.isin(ids, special))
        goals = {
            "previous": np.eye(size, k=-1),
            "next": np.eye(size, k=1),
            "self": np.eye(size),
            "first": np.broadcast_to(np.arange(size) == 0, (size, size)),
            "separator": np.broadcast_to(ids == tokenizer.sep_token_id, (size, size)),
        }
        for name, goal in goals.items():
            cells = goal[sources].astype(np.float32)  # (word, pos)
            found = _layer_head_table([np.einsum("hwp,wp->h", layer[:, sources], cells) for layer in maps])
            sums[name] = sums[name] + found
            even[name] += float(cells.sum()) / size
        words += len(sources)
        if progress:
            progress((number + 1) / len(rows))
    return {name: (np.asarray(sums[name]) / max(1, words), even[name] / max(1, words)) for name in PATTERNS}


def _token_positions(word_ids: Iterable[int | None], words: int) -> list[list[int]]:
    """Of each word the positions of its tokens."""
    places: list[list[int]] = [[] for _ in range(words)]
    for place, word in enumerate(word_ids):
        if word is not None:
            places[word].append(place)
    return places


def _layer_head_table(layers: Sequence[np.ndarray]) -> np.ndarray:
    """(layer, head) of layers that may differ in their number of heads; what is missing is not a number."""
    table = np.full((len(layers), max(len(heads) for heads in layers)), np.nan)
    for row, heads in zip(table, layers, strict=True):
        row[: len(heads)] = heads
    return table
