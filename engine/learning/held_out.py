"""A few rows of held-out text, and what a model does with them: hidden states, attention maps. No training data."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import torch

from engine.model.bert import Bert, Trace
from engine.text.corpora import open_corpus
from engine.text.masking import Batch, mask_tokens

ROWS_AT_ONCE = 16
MASK_SEED = [0, 4]  # what is hidden of these rows, the same for every model


def held_out_rows(corpus: str, tokenizer: Any, length: int, rows: int) -> np.ndarray:
    """(row, pos) token ids of the first `rows` held-out rows of `corpus`, padded behind, the short ones first.

    In this order batches have little padding.

    Raises:
        CorpusError: as open_corpus.
    """
    found = open_corpus(corpus, tokenizer, length, 1, held_out_rows=rows).held_out
    some = np.asarray(found[:rows], np.int64)
    return some[np.argsort((some != tokenizer.pad_token_id).sum(1), kind="stable")]


def masked_batches(rows: np.ndarray, tokenizer: Any, size: int = ROWS_AT_ONCE) -> list[Batch]:
    """Batches of `rows` (row, pos) with words hidden as in training, the same for every model."""
    rng = np.random.default_rng(MASK_SEED)
    return [mask_tokens(rows[start : start + size], tokenizer, rng) for start in range(0, len(rows), size)]


@torch.no_grad()
def hidden_states(bert: Bert, rows: np.ndarray, pad: int) -> np.ndarray:
    """(layer + 1, token, hidden) float32: every token of `rows` (row, pos) but padding, the embedding output first."""
    parts = []
    for ids, visible in _batches(bert, rows, pad):
        trace: Trace = {"hidden": []}
        bert.encode(ids, visible, trace=trace)
        parts.append(torch.stack([states[visible] for states in trace["hidden"]]).float().cpu())
    return torch.cat(parts, 1).numpy()


@torch.no_grad()
def attention_maps(bert: Bert, rows: np.ndarray, pad: int) -> Iterator[list[np.ndarray]]:
    """Of each of `rows` (row, pos): a layer's attention maps (head, pos, pos), without padding, for every layer."""
    for ids, visible in _batches(bert, rows, pad):
        trace: Trace = {"attentions": []}
        bert.encode(ids, visible, trace=trace)
        for row, length in enumerate(visible.sum(1).tolist()):
            yield [layer[row, :, :length, :length].float().cpu().numpy() for layer in trace["attentions"]]


def _batches(bert: Bert, rows: np.ndarray, pad: int) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    device = bert.embeddings.word.weight.device
    for start in range(0, len(rows), ROWS_AT_ONCE):
        some = rows[start : start + ROWS_AT_ONCE]
        some = some[:, : max(1, int((some != pad).sum(1).max()))]
        ids = torch.from_numpy(np.ascontiguousarray(some)).to(device)
        yield ids, ids != pad
