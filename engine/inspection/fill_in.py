"""Filling in the blanks of a sentence: what a model would put where [MASK] stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from engine.inspection.probe import ProbeError
from engine.model.bert import Bert
from engine.text.vocabulary import tokens_by_id

BLANK = "[MASK]"


@dataclass(frozen=True)
class FilledBlanks:
    """What a model says of every blank of one text."""

    tokens: list[str]  # the text as the model sees it
    blanks: list[int]  # positions in `tokens`
    probabilities: np.ndarray  # (blank, vocab) float32; rows sum to 1, and are 0 where the tokenizer has no token
    words: list[str]  # (vocab,) the tokens by number; empty where there is none
    unknown: list[str]  # words of the text that the tokenizer does not know

    def candidates(self, blank: int, count: int = 5) -> list[tuple[str, float]]:
        """The likeliest tokens for one blank (from 0) and their probabilities, the likeliest first."""
        row = self.probabilities[blank]
        best = [token for token in np.argsort(-row, kind="stable") if self.words[token]]
        return [(self.words[token], float(row[token])) for token in best[:count]]


@torch.no_grad()
def fill_in(bert: Bert, tokenizer: Any, text: str, most_tokens: int = 128) -> FilledBlanks:
    """What `bert` puts into every [MASK] of `text`, all of them hidden at the same time.

    Raises:
        ProbeError: there is no blank, the text is too long to see them all, or the model has no masked-LM head.
    """
    if bert.head is None:
        raise ProbeError("The model has no masked-LM head: it learned a task and was never asked for a word.")
    most_tokens = min(most_tokens, bert.shape.positions)
    masked = text.replace(BLANK, tokenizer.mask_token)
    encoded = tokenizer(masked, return_offsets_mapping=True)
    ids = encoded["input_ids"]
    blanks = [place for place, token in enumerate(ids) if token == tokenizer.mask_token_id]
    if not blanks:
        raise ProbeError(f"There is no blank in the sentence: write {BLANK} where a word should be found.")
    if len(ids) > most_tokens:
        raise ProbeError(f"The sentence has {len(ids):,} tokens and the model sees {most_tokens}; make it shorter.")
    unknown = [
        masked[a:b] for t, (a, b) in zip(ids, encoded["offset_mapping"], strict=True) if t == tokenizer.unk_token_id
    ]
    device = bert.embeddings.word.weight.device
    logits = bert(torch.tensor([ids], device=device), positions=torch.tensor(blanks, device=device))
    words = tokens_by_id(tokenizer, bert.shape.vocab)
    no_token = torch.tensor([not word for word in words], device=device)
    logits = logits.float().masked_fill(no_token, -torch.inf)  # a table padded to more rows than there are tokens
    return FilledBlanks(tokenizer.convert_ids_to_tokens(ids), blanks, logits.softmax(-1).cpu().numpy(), words, unknown)


def blank_agreement(teacher: FilledBlanks, student: FilledBlanks) -> list[tuple[bool, float]]:
    """Of each blank: whether both models' first candidates are the same, and the probability that they share.

    The shared probability is the sum over all tokens of the smaller of the two, 0 to 1: one minus the total variation.

    Raises:
        ProbeError: the two have not the same words, or not the same blanks.
    """
    if teacher.words != student.words or len(teacher.blanks) != len(student.blanks):
        raise ProbeError("The two models have different vocabularies, so their candidates cannot be compared.")
    pairs = zip(teacher.probabilities, student.probabilities, strict=True)
    return [(int(p.argmax()) == int(q.argmax()), float(np.minimum(p, q).sum())) for p, q in pairs]
