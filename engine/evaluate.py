"""How well a model fills in hidden words of held-out text."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from engine.corpora import Corpus
from engine.device import Device


@torch.no_grad()
def masked_lm_score(model: nn.Module, corpus: Corpus, device: Device) -> dict[str, float]:
    """Mean loss (nats a hidden token), accuracy (0-1) and how many hidden tokens `model` was asked for.

    Taken on the corpus's held-out rows.

    The rows and what is hidden in them are the same for every model, so scores compare.
    """
    was_training = model.training
    model.eval()
    loss, right, count = torch.zeros(3, device=device.type).unbind()
    for host_batch in corpus.held_out_batches():
        batch = host_batch.to(device.type)
        with device.autocast():
            logits = model(batch.ids, batch.visible, positions=batch.positions).float()
        loss = loss + F.cross_entropy(logits, batch.targets, reduction="sum")
        right = right + (logits.argmax(-1) == batch.targets).sum()
        count = count + len(batch.targets)
    model.train(was_training)
    return {"loss": float(loss / count), "accuracy": float(right / count), "words": int(count)}


def accuracy_interval(accuracy: float, words: float) -> float:
    """Half the width of the 95% interval of an accuracy (0-1) that was counted over `words` hidden words.

    The normal approximation of the binomial law: every word counts as a question of its own.
    """
    return 1.96 * math.sqrt(accuracy * (1 - accuracy) / words)
