"""Closeness: how near a model still is to the one it comes from, by sentence embeddings and attention maps.

Measured on unmasked text. How much of a teacher's attention a student has, against chance, is another measure:
engine/inheritance/score.py.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from engine.model.bert import Bert, Trace
from engine.settings.device import Device
from engine.text.corpora import Corpus

BATCH = 16  # rows at a time: attention maps of two models are held at once


@torch.no_grad()
def closeness(bert: Bert, original: Bert, corpus: Corpus, device: Device, rows: int = 256) -> dict[str, float]:
    """How near `bert` is to `original` on the first `rows` held-out rows of `corpus`, nothing hidden.

    "sentence_cosine": mean cosine of the rows' embeddings, the mean of the last hidden states without padding.
    "attention_cosine" and "attention_js": mean over layers, heads and positions of the cosine, and of the
    Jensen-Shannon divergence in bits (0: the same, 1: apart), of where a position looks. Without the attention parts
    when the two have other layers or heads, without the sentences' when their widths differ.
    """
    mine, theirs = bert.shape, original.shape
    same_maps = (mine.layers, mine.heads, mine.layer_heads) == (theirs.layers, theirs.heads, theirs.layer_heads)
    sums: dict[str, Tensor] = {}
    counts: dict[str, int] = {}

    def add(name: str, values: Tensor) -> None:
        sums[name] = sums.get(name, torch.zeros((), dtype=torch.float64)) + values.double().sum().cpu()
        counts[name] = counts.get(name, 0) + values.numel()

    bert, original = bert.to(device.type).eval(), original.to(device.type).eval()
    chosen = corpus.held_out.first(rows)
    for start in range(0, len(chosen), BATCH):
        ids = torch.from_numpy(chosen[start : start + BATCH]).long().to(device.type)
        visible = ids != corpus.tokenizer.pad_token_id
        traces: list[Trace] = [{"hidden": [], "attentions": []} for _ in range(2)]
        last = [model.encode(ids, visible, trace=trace) for model, trace in zip((bert, original), traces, strict=True)]
        if mine.hidden == theirs.hidden:
            one, other = (sentence_embeddings(hidden, visible) for hidden in last)
            add("sentence_cosine", F.cosine_similarity(one, other, dim=-1))
        if same_maps:
            for one, other in zip(traces[0]["attentions"], traces[1]["attentions"], strict=True):
                looks = visible[:, None, :].expand(one.shape[:3])  # a padding position's map says nothing
                one, other = one[looks].float(), other[looks].float()
                add("attention_cosine", F.cosine_similarity(one, other, dim=-1))
                add("attention_js", jensen_shannon(one, other))
    return {name: float(total / counts[name]) for name, total in sums.items()}


def sentence_embeddings(hidden: Tensor, visible: Tensor) -> Tensor:
    """The mean over what is no padding, as sentence encoders pool: (batch, pos, hidden) -> (batch, hidden)."""
    hidden = hidden if hidden.dtype == torch.float64 else hidden.float()
    seen = visible[..., None].to(hidden.dtype)
    return (hidden * seen).sum(1) / seen.sum(1).clamp(min=1.0)


def jensen_shannon(p: Tensor, q: Tensor) -> Tensor:
    """Jensen-Shannon divergence in bits between distributions: (..., n) and (..., n) -> (...); 0 to 1 (Lin 1991).

    In torch, for maps on an accelerator; engine.inspection.attention_divergence has the same in numpy, without torch.
    """
    middle = (p + q) / 2
    nats = [(torch.xlogy(one, one) - torch.xlogy(one, middle)).sum(-1) for one in (p, q)]
    return ((nats[0] + nats[1]) / (2 * math.log(2))).clamp(0.0, 1.0)
