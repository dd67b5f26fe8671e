"""A masked-LM head, or a pooler, for a model that has none."""

from __future__ import annotations

import torch
from torch import nn

from engine.model.bert import Bert


def with_mlm_head(bert: Bert) -> Bert:
    """`bert`, or if it has no masked-LM head a copy of it with one that hands the hidden states to the tied decoder.

    The gentlest start there is; how far it is from a trained head, adaptation shows.
    """
    if bert.head is not None:
        return bert
    whole = Bert(bert.shape.replace(mlm_head=True))
    whole.load_state_dict(bert.state_dict(), strict=False)
    assert whole.head is not None
    with torch.no_grad():
        nn.init.eye_(whole.head.transform.weight)
        nn.init.zeros_(whole.head.transform.bias)
        if whole.head.decoder is not None:
            whole.head.decoder.weight.copy_(whole.embeddings.word.weight)
    return whole


def with_pooler(bert: Bert, seed: int) -> Bert:
    """`bert`, or if it has no pooler a copy of it with a fresh one.

    Its weights are normal with a deviation of one over the root of the width, so that it hands on as much as it reads:
    BERT's 0.02 is for 768 dims and more, and lets a narrow model's classifier see next to nothing (LOG.md).
    """
    if bert.pooler is not None:
        return bert
    whole = Bert(bert.shape.replace(pooler=True))
    whole.load_state_dict(bert.state_dict(), strict=False)
    assert whole.pooler is not None
    with torch.no_grad():
        deviation = whole.shape.hidden**-0.5
        whole.pooler.weight.normal_(0.0, deviation, generator=torch.Generator().manual_seed(seed))
        whole.pooler.bias.zero_()
    return whole
