"""Masked-LM quality: how well a model fills in hidden words of held-out text; and its pair head on held-out pairs.

Scores, nothing is trained. Those of labelled tasks are in engine/tasks/scores.py.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from engine.learning.intervals import clustered_share_interval, ratio_interval
from engine.model.bert import Bert
from engine.settings.device import Device
from engine.text.corpora import Corpus
from engine.text.sentence_pairs import PairBatch, PairCorpus

TOP = 5  # how many candidates count as a hit in "top5"
SHARES = ("accuracy", "top5", "agreement")


@torch.no_grad()
def masked_lm_score(model: nn.Module, corpus: Corpus | PairCorpus, device: Device) -> dict[str, float]:
    """Mean loss (nats a hidden token), accuracy (0-1) and how many hidden tokens `model` was asked for.

    Taken on the corpus's held-out rows.

    The rows and what is hidden in them are the same for every model, so scores compare.
    """
    was_training = model.training
    model.eval()
    loss, right, count = torch.zeros(3, device=device.type).unbind()
    for host_batch in corpus.held_out_batches():
        batch = host_batch.to(device.type)
        types = batch.types if isinstance(batch, PairBatch) else None
        with device.autocast():
            logits = model(batch.ids, batch.visible, types, batch.positions).float()
        loss = loss + F.cross_entropy(logits, batch.targets, reduction="sum")
        right = right + (logits.argmax(-1) == batch.targets).sum()
        count = count + len(batch.targets)
    model.train(was_training)
    return {"loss": float(loss / count), "accuracy": float(right / count), "words": int(count)}


@torch.no_grad()
def pair_score(model: Bert, pairs: PairCorpus, device: Device) -> dict[str, float]:
    """Accuracy (0-1) of `model`'s pair head on the held-out pairs, and how many there are."""
    was_training = model.training
    model.eval()
    right, count = torch.zeros((), device=device.type), 0
    for host_batch in pairs.held_out_batches():
        batch = host_batch.to(device.type)
        assert isinstance(batch, PairBatch)
        with device.autocast():
            logits = model.pair_logits(model.encode(batch.ids, batch.visible, batch.types))
        right, count = right + (logits.argmax(-1) == batch.labels).sum(), count + len(batch.labels)
    model.train(was_training)
    return {"accuracy": float(right) / count, "pairs": count}


@torch.no_grad()
def masked_lm_report(
    model: nn.Module, corpus: Corpus, device: Device, teacher: nn.Module | None = None
) -> dict[str, dict[str, float | None]]:
    """How `model` fills in the corpus's held-out rows, the same hidden words for every model, and how like `teacher`.

    name -> {"value", "low", "high", "interval"}: the 95% interval and half its width. "loss" (nats a hidden word),
    "accuracy" and "top5" (0-1), and with a teacher of the same vocabulary "agreement" (share of words where both have
    the same first candidate) and "kl" (KL(teacher || student) in nats). Words of one row are no independent questions,
    so intervals are taken over rows; None where one row tells none.
    """
    was_training, models = model.training, [model.eval()]
    if teacher is not None:
        models.append(teacher.eval())
    sums: dict[str, list[torch.Tensor]] = {}  # of each row
    counts: list[torch.Tensor] = []
    for host_batch in corpus.held_out_batches():
        batch = host_batch.to(device.type)
        rows, width = batch.ids.shape
        row = batch.positions // width
        with device.autocast():
            logits = [one(batch.ids, batch.visible, positions=batch.positions).float() for one in models]
        mine = F.log_softmax(logits[0], -1)
        first = mine.argmax(-1)
        top = mine.topk(min(TOP, mine.shape[-1]), -1).indices
        values = {
            "loss": F.nll_loss(mine, batch.targets, reduction="none"),
            "accuracy": (first == batch.targets).float(),
            "top5": (top == batch.targets[:, None]).any(-1).float(),
        }
        if len(logits) > 1:
            theirs = F.log_softmax(logits[1], -1)
            values["agreement"] = (first == theirs.argmax(-1)).float()
            values["kl"] = F.kl_div(mine, theirs, reduction="none", log_target=True).sum(-1)
        for name, value in values.items():
            sums.setdefault(name, []).append(value.new_zeros(rows).index_add_(0, row, value).double().cpu())
        counts.append(torch.bincount(row, minlength=rows).double().cpu())
    model.train(was_training)
    words = torch.cat(counts).numpy()
    return {name: _mean_over_rows(torch.cat(parts).numpy(), words, name in SHARES) for name, parts in sums.items()}


def _mean_over_rows(sums: np.ndarray, words: np.ndarray, is_share: bool) -> dict[str, float | None]:
    """The mean over words with its 95% interval, rows being what was drawn. `sums` and `words`: (row,)."""
    mean = float(sums.sum() / words.sum())
    if is_share:
        low, high = clustered_share_interval(sums, words)
    else:
        half = ratio_interval(sums, words)
        if half is None:
            return {"value": mean, "low": None, "high": None, "interval": None}
        low, high = mean - half, mean + half
    return {"value": mean, "low": low, "high": high, "interval": (high - low) / 2}
