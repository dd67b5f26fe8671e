"""ALBERT's Table 5: what a model knows of masked words, of the next sentence and of the order of sentences.

The paper does not say how a model is asked about pairs that it never learned about. Here all models are asked in one
way, whether they have a pair head or not: a logistic regression on the frozen last hidden state of [CLS], fitted to
training pairs and scored on held-out ones (arXiv 1909.11942, section 4.6).
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch
from torch import Tensor

from engine.learning.masked_lm import masked_lm_score
from engine.model.bert import Bert, new_bert
from engine.settings.device import Device
from engine.storage.atomic import write_json
from engine.storage.cache import digest, writable_cache_folder
from engine.storage.checksums import check_seal, sealed
from engine.storage.json_file import read_json_object
from engine.tasks.finetune import weights_fingerprint
from engine.tasks.linear_probe import PENALTIES, apply_linear, fit_linear
from engine.text.corpora import open_corpus
from engine.text.sentence_pairs import PAIR_KINDS, PairBatch, PairCorpus, open_pairs

CACHE_VERSION = 1  # of kept answers: raise it wherever the same model would give others
BATCH, BATCHES, VALIDATION_PAIRS = (
    64,
    64,
    1024,
)  # pairs a batch, batches to fit on, pairs of them that choose the penalty
PAIR_SEED = 1_000_003  # of the pairs to fit on: not the order that a student learned from


def cross_task_accuracies(bert: Bert, tokenizer: Any, corpus: str, length: int, device: Device) -> dict[str, float]:
    """Accuracies (0-1) of `bert` on held-out text: "mlm" on whole stories, "nsp" and "sop" read out of its [CLS].

    `length`: of a row, in tokens. Answers are kept, so the same weights are asked once.

    Raises:
        CorpusError: the text cannot be had, or has no pairs.
    """
    about = [
        "cross-task",
        CACHE_VERSION,
        weights_fingerprint(bert),
        corpus,
        length,
        device.type,
        device.mixed_precision,
    ]
    path = (
        writable_cache_folder("scores") / f"{digest([*about, BATCH, BATCHES, VALIDATION_PAIRS, list(PENALTIES)])}.json"
    )
    with suppress(OSError, ValueError, KeyError, TypeError):  # not there yet, or damaged
        kept = read_json_object(path)
        check_seal(kept)
        return {name: float(kept[name]) for name in ("mlm", *PAIR_KINDS)}
    rows = BATCH * BATCHES
    bert = bert.to(device.type).eval()
    found = {"mlm": masked_lm_score(bert, open_corpus(corpus, tokenizer, length, rows), device)["accuracy"]}
    for kind in PAIR_KINDS:
        found[kind] = pair_probe_accuracy(bert, open_pairs(corpus, tokenizer, length, rows, kind), device)
    with suppress(OSError):
        write_json(path, sealed(found))
    return found


def untrained_copy(bert: Bert, seed: int) -> Bert:
    """A model of the same shape that learned nothing: what a read-out gets from random weights."""
    return new_bert(bert.shape, seed)


def pair_probe_accuracy(bert: Bert, pairs: PairCorpus, device: Device) -> float:
    """Accuracy (0-1) on the held-out pairs of a logistic regression on `bert`'s frozen [CLS]."""
    seen = [_cls_states(bert, pairs.batch(step, BATCH, PAIR_SEED), device) for step in range(BATCHES)]
    asked = [_cls_states(bert, batch, device) for batch in pairs.held_out_batches()]
    features, labels = (torch.cat(parts) for parts in zip(*seen, strict=True))
    mean, spread = features.mean(0), features.std(0).clamp(min=1e-6)
    features = (features - mean) / spread
    best, chosen = -1.0, None
    for penalty in PENALTIES:
        layer = fit_linear(features[VALIDATION_PAIRS:], labels[VALIDATION_PAIRS:], 2, penalty)
        right = _accuracy(layer, features[:VALIDATION_PAIRS], labels[:VALIDATION_PAIRS])
        if right > best:
            best, chosen = right, layer
    assert chosen is not None
    held, true = (torch.cat(parts) for parts in zip(*asked, strict=True))
    return _accuracy(chosen, (held - mean) / spread, true)


@torch.no_grad()
def _cls_states(bert: Bert, batch: PairBatch, device: Device) -> tuple[Tensor, Tensor]:
    """The last hidden states of [CLS] (pair, hidden), and the labels (pair,)."""
    here = batch.to(device.type)
    assert isinstance(here, PairBatch)
    with device.autocast():
        hidden = bert.encode(here.ids, here.visible, here.types)
    return hidden[:, 0].float().cpu(), batch.labels


def _accuracy(layer: Tensor, features: Tensor, labels: Tensor) -> float:
    return float((apply_linear(layer, features).argmax(-1) == labels).float().mean())
