"""A fresh masked-LM head, or a fresh pooler, for a model that has none."""

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
    extended = Bert(bert.shape.replace(mlm_head=True))
    extended.load_state_dict(bert.state_dict(), strict=False)
    assert extended.head is not None
    with torch.no_grad():
        nn.init.eye_(extended.head.transform.weight)
        nn.init.zeros_(extended.head.transform.bias)
        if extended.head.decoder is not None:
            extended.head.decoder.weight.copy_(extended.embeddings.word.weight)
    return extended


def with_pooler(bert: Bert, seed: int) -> Bert:
    """`bert`, or if it has no pooler a copy of it with a fresh one.

    Its weights are normal with a deviation of one over the root of the width, so that it hands on as much as it reads:
    BERT's 0.02 is for 768 dims and more, and lets a narrow model's classifier see next to nothing (log/methods.md).
    """
    if bert.pooler is not None:
        return bert
    extended = Bert(bert.shape.replace(pooler=True))
    extended.load_state_dict(bert.state_dict(), strict=False)
    assert extended.pooler is not None
    with torch.no_grad():
        deviation = extended.shape.hidden**-0.5
        extended.pooler.weight.normal_(0.0, deviation, generator=torch.Generator().manual_seed(seed))
        extended.pooler.bias.zero_()
    return extended
