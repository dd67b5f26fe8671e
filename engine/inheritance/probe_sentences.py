"""Fixed sentences, and where a model looks in them: from held-out text or a person's own lines, in batches by length.

The same for every run on the same text, so that two runs' pictures and scores compare.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.inheritance.head_distances import InheritanceError
from engine.model.bert import Bert, Trace
from engine.tasks.batches import TaskData
from engine.text.corpora import Corpus
from engine.text.sentence_pairs import PairCorpus

LONGEST = 32  # tokens of a held-out probe sentence, with [CLS] and [SEP]
LONGEST_LINE = 64  # of a line that somebody typed
MOST_LINES = 256
SHORTEST = 4  # tokens: two words
ENDS = (".", "!", "?")
BATCH = 32  # sentences in a forward pass


@dataclass(frozen=True)
class ProbeSet:
    """Sentences as token ids, [CLS] ... [SEP] each, and what was done to make them so."""

    ids: list[list[int]]
    tokens: list[list[str]]
    special: list[np.ndarray]  # of each sentence (pos,) bool: [CLS], [SEP] and padding
    notes: list[str]  # one sentence each, for people

    def __len__(self) -> int:
        return len(self.ids)

    def counted(self, keep_special: bool = False) -> list[np.ndarray]:
        """Of each sentence which positions count in a measure: (pos,) bool; without the special tokens, or all."""
        return [np.ones_like(it) if keep_special else ~it for it in self.special]


@dataclass(frozen=True)
class Maps:
    """Where the heads of one model look: of each sentence (head, pos, pos) float32, layer after layer."""

    maps: list[np.ndarray]
    layers: list[int]  # of each head, from 0


def _probe_set(ids: list[list[int]], tokenizer: Any, notes: list[str]) -> ProbeSet:
    # not [UNK] and [MASK]: they stand for words
    frame = [tokenizer.cls_token_id, tokenizer.sep_token_id, tokenizer.pad_token_id]
    return ProbeSet(
        ids, [tokenizer.convert_ids_to_tokens(one) for one in ids], [np.isin(one, frame) for one in ids], notes
    )


def held_out_sentences(corpus: Corpus | PairCorpus | TaskData, count: int, longest: int = LONGEST) -> ProbeSet:
    """The beginnings of the first held-out rows of `corpus`: whole sentences while they fit into `longest` tokens.

    Fewer than `count` where there are fewer; rows with less than two words are left out.

    Raises:
        InheritanceError: there is none.
    """
    tokenizer, chosen = corpus.tokenizer, []
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    ends = [tokenizer.convert_tokens_to_ids(end) for end in ENDS]
    for row in _held_out_rows(corpus, count):
        room = row[: longest - 2]
        if len(row) > len(room):
            last = np.flatnonzero(np.isin(room, ends))
            room = room[: last[-1] + 1] if len(last) and last[-1] + 1 >= SHORTEST - 2 else room
        if len(room) >= SHORTEST - 2:
            chosen.append([cls, *room.tolist(), sep])
        if len(chosen) == count:
            break
    if not chosen:
        raise InheritanceError(f"The held-out text of {corpus.name} has no sentence of two words.")
    fewer = [f"The held-out text has only {len(chosen)} sentences."] if len(chosen) < count else []
    return _probe_set(chosen, tokenizer, fewer)


def _held_out_rows(corpus: Corpus | PairCorpus | TaskData, count: int) -> list[np.ndarray]:
    """Enough held-out rows (token,) without [CLS], [SEP] and padding; of pairs of texts, the first ones."""
    if isinstance(corpus, TaskData):
        sep = corpus.tokenizer.sep_token_id
        return [np.array(row[1 : row.index(sep)], dtype=np.int64) for row in corpus.test.ids[: 4 * count] if sep in row]
    rows = corpus.held_out.first(4 * count)
    filled = [rows.tokens[a:b] for a, b in zip(rows.starts[:-1], rows.starts[1:], strict=True)]
    return [
        row[1:] if isinstance(corpus, PairCorpus) else row[1:-1] for row in filled
    ]  # a pair's row begins with a mark


def typed_sentences(lines: Sequence[str], tokenizer: Any, longest: int = LONGEST_LINE) -> ProbeSet:
    """A person's own sentences, one a line; empty lines are left out, long ones cut, and the notes say so.

    Raises:
        InheritanceError: there is nothing to look at, or too much; says which line and why.
    """
    told = [(number, line.strip()) for number, line in enumerate(lines, start=1) if line.strip()]
    if not told:
        raise InheritanceError("There is no sentence: type at least one, a line each.")
    if len(told) > MOST_LINES:
        raise InheritanceError(f"At most {MOST_LINES} sentences can be scored at once, got {len(told):,} lines.")
    tokenizer.backend_tokenizer.no_truncation()  # some tokenizer files come with it switched on
    chosen, cut, short, strange = [], [], [], []
    for number, line in told:
        ids = tokenizer(line)["input_ids"]
        if len(ids) > longest:
            cut.append(number)
            ids = [*ids[: longest - 1], ids[-1]]
        words = ids[1:-1]
        if len(words) < SHORTEST - 2:
            short.append(number)
        elif all(token == tokenizer.unk_token_id for token in words):
            strange.append(number)
        else:
            chosen.append(ids)
    notes = []
    if cut:
        notes.append(f"{_lines(cut)} longer than {longest} tokens; the rest was left out.")
    if short:
        notes.append(f"{_lines(short)} left out: fewer than two words.")
    if strange:
        notes.append(f"{_lines(strange)} left out: the vocabulary knows none of the words.")
    if not chosen:
        raise InheritanceError("No line can be scored. " + " ".join(notes))
    return _probe_set(chosen, tokenizer, notes)


def _lines(numbers: list[int]) -> str:
    named = ", ".join(map(str, numbers[:5])) + (" and others" if len(numbers) > 5 else "")
    return f"Line {named} is" if len(numbers) == 1 else f"Lines {named} are"


@torch.no_grad()
def attend(
    model: nn.Module,
    sentences: ProbeSet,
    device: str,
    pad: int,
    progress: Callable[[float], object] | None = None,
) -> Maps:
    """Where every head of `model`, on `device`, looks in every sentence. `pad`: the padding token.

    Sentences of like length share a batch, so that little padding is computed; none of it is in the result. Of a model
    around an encoder (its `bert`) the encoder is asked, another is called. It is left in the mode it was in.
    """
    was_training = model.training
    model.eval()
    order = sorted(range(len(sentences)), key=lambda index: len(sentences.ids[index]))
    found: list[np.ndarray] = [np.empty(0)] * len(sentences)
    layers: list[int] = []
    for start in range(0, len(order), BATCH):
        chosen = order[start : start + BATCH]
        width = max(len(sentences.ids[index]) for index in chosen)
        ids = torch.tensor([sentences.ids[i] + [pad] * (width - len(sentences.ids[i])) for i in chosen])
        lengths = torch.tensor([len(sentences.ids[index]) for index in chosen])
        visible = torch.arange(width) < lengths[:, None]
        trace: Trace = {"attentions": []}
        encoder = model if isinstance(model, Bert) else getattr(model, "bert", None)
        if isinstance(encoder, Bert):
            encoder.encode(ids.to(device), visible.to(device), trace=trace)
        else:
            first = torch.zeros(1, dtype=torch.long).to(device)  # words are not asked for
            model(ids.to(device), visible.to(device), positions=first, trace=trace)
        maps = torch.cat([layer.float() for layer in trace["attentions"]], 1).cpu().numpy()
        layers = [number for number, layer in enumerate(trace["attentions"]) for _ in range(layer.shape[1])]
        for place, index in enumerate(chosen):
            length = len(sentences.ids[index])
            found[index] = maps[place, :, :length, :length]
        if progress is not None:
            progress((start + len(chosen)) / len(order))
    model.train(was_training)
    return Maps(found, layers)
