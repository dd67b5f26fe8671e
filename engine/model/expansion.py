"""A model written out in full, so that a class of the transformers library computes what it computes.

The library's classes have whole linears, as many heads and neurons in every layer, heads that fill the hidden width,
and share a layer wholly or not at all. A model that has less is multiplied out, padded with zeros, or has its shared
part copied: more parameters, the same logits.
"""

from __future__ import annotations

import math
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model.bert import Bert, LayerNorm
from engine.model.linears import dense_weight
from engine.model.transformers_format import transformers_objections
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape


def expanded_shape(shape: Shape) -> Shape:
    """The shape, one that the library has a class for, in which `expand` writes a model of `shape`."""
    if not transformers_objections(shape):
        return shape.plain()
    copies, heads = _copies_and_heads(shape)
    # only ALBERT's class has a projection between the embeddings and the layers, and shares layers
    albert = shape.family == "albert" or shape.sharing == "all" or shape.embedding != shape.hidden or copies > 1
    typed = shape.token_types or not (albert or shape.pooler or shape.pair_head)
    return Shape(
        **{
            **vars(shape.plain()),
            "family": "albert" if albert else "bert",
            "sharing": "all" if shape.sharing == "all" else "none",
            "groups": shape.groups if shape.sharing == "all" else 1,
            "hidden": shape.hidden * copies,
            "heads": heads,
            "head_dim": shape.hidden * copies // heads,
            "token_types": shape.token_types if typed else 2,
        }
    )


def _copies_and_heads(shape: Shape) -> tuple[int, int]:
    """How often every hidden dim stands, and how many heads there are, where heads are to fill the hidden width.

    Heads that span more than the width need a wider one. Dims that stand there several times, all equally often, leave
    LayerNorm's mean and variance what they were; zeros would not.
    """
    copies = max(1, math.ceil(shape.inner / shape.hidden))
    while True:
        wide = copies * shape.hidden
        for heads in range(wide // shape.head_dim, shape.heads - 1, -1):  # the narrowest heads first
            if wide % heads == 0:
                return copies, heads
        copies += 1


def expansion_note(shape: Shape) -> str:
    """What `expand` does to a model of `shape` and what it costs in parameters, one sentence; empty where it does
    nothing.
    """
    if not transformers_objections(shape):
        return ""
    wide = expanded_shape(shape)
    copies = wide.hidden // shape.hidden
    done = {
        f"linears of two factors of rank {shape.rank:,} are multiplied out": shape.rank,
        "heads that are not there are zeros": shape.layer_heads or shape.inner != shape.hidden,
        "neurons that are not there are zeros": shape.layer_ffn,
        f"the shared {'FFN' if shape.sharing == 'ffn' else 'attention'} is copied into every layer": shape.sharing
        in ("attention", "ffn"),
        f"every hidden dim stands {copies} times": copies > 1,
        "token types are zeros": wide.token_types != shape.token_types,
        "ALBERT's class takes it": wide.family != shape.family,
    }
    steps = ", ".join(words for words, there in done.items() if there)
    return (
        f"Written out in full for transformers ({steps}): {parameters(wide):,} parameters instead of "
        f"{parameters(shape):,}."
    )


@torch.no_grad()
def expand(bert: Bert) -> Bert:
    """A model of `expanded_shape` that computes what `bert` computes, in float32; int8 weights become float32."""
    shape = bert.shape
    wide = Bert(expanded_shape(shape))
    copies = wide.shape.hidden // shape.hidden
    mine, theirs = wide.embeddings, bert.embeddings
    mine.word.weight.copy_(dense_weight(theirs.word))
    mine.position.weight.copy_(theirs.position.weight)
    if mine.token_type is not None:
        mine.token_type.weight.copy_(theirs.token_type.weight if theirs.token_type is not None else torch.zeros(()))
    _put_norm(mine.norm, theirs.norm)
    if mine.projection is not None and theirs.projection is not None:
        _put(mine.projection, dense_weight(theirs.projection).repeat(copies, 1), theirs.projection.bias.repeat(copies))
    elif mine.projection is not None:  # a BERT's embeddings have the hidden width
        _put(mine.projection, torch.eye(shape.hidden).repeat(copies, 1), torch.zeros(wide.shape.hidden))
    for part in ("attention", "ffn"):
        for layer in wide.shape.owners(part):
            (_expand_attention if part == "attention" else _expand_ffn)(wide, bert, layer, copies)
    for new, old in ((wide.pooler, bert.pooler), (wide.pair, bert.pair)):
        if new is not None and old is not None:
            often = copies if old is bert.pooler else 1
            _put(new, dense_weight(old).repeat(often, 1), old.bias.repeat(often))
    if wide.head is not None and bert.head is not None:
        _put(wide.head.transform, dense_weight(bert.head.transform), bert.head.transform.bias)
        _put_norm(wide.head.norm, bert.head.norm)
        wide.head.bias.copy_(bert.head.bias)
        if wide.head.decoder is not None and bert.head.decoder is not None:
            wide.head.decoder.weight.copy_(dense_weight(bert.head.decoder))
    return wide.train(bert.training)


def expand_classifier(classifier: dict[str, Tensor], hidden: int) -> dict[str, Tensor]:
    """`classifier` ("classifier.weight" (class, hidden) and its bias) for a model that `expand` made `hidden` wide."""
    weight = classifier["classifier.weight"]
    return {**classifier, "classifier.weight": F.pad(weight, (0, hidden - weight.shape[1]))}


def _expand_attention(wide: Bert, bert: Bert, layer: int, copies: int) -> None:
    """Fills the attention of `layer`: its heads first, with zeros behind their dims, and heads of zeros behind them."""
    (new, _), (old, _) = wide.blocks(layer), bert.blocks(layer)
    width, heads, dims = wide.shape.head_dim, old.heads, bert.shape.head_dim

    def spread(rows: Tensor) -> Tensor:
        """(heads x dims, n) of the old heads -> (hidden, n) of the new ones."""
        rows = F.pad(rows.unflatten(0, (heads, dims)), (0, 0, 0, width - dims, 0, wide.shape.heads - heads))
        return rows.flatten(0, 1)

    for name in ("query", "key", "value"):
        linear = cast(nn.Linear, getattr(old, name))
        # scores are divided by the root of the heads' width, which has grown
        scale = math.sqrt(width / dims) if name == "query" else 1.0
        weight, bias = spread(dense_weight(linear)) * scale, spread(linear.bias[:, None])[:, 0] * scale
        _put(getattr(new, name), weight, bias)
    weight = spread(dense_weight(old.output).T).T
    _put(new.output, weight.repeat(copies, 1), old.output.bias.repeat(copies))
    _put_norm(new.norm, old.norm)


def _expand_ffn(wide: Bert, bert: Bert, layer: int, copies: int) -> None:
    """Fills the FFN of `layer`: its neurons first, and neurons of zeros behind them."""
    (_, new), (_, old) = wide.blocks(layer), bert.blocks(layer)
    missing = wide.shape.ffn - bert.shape.ffn_of(layer)
    _put(new.up, F.pad(dense_weight(old.up), (0, 0, 0, missing)), F.pad(old.up.bias, (0, missing)))
    weight = F.pad(dense_weight(old.down), (0, missing))
    _put(new.down, weight.repeat(copies, 1), old.down.bias.repeat(copies))
    _put_norm(new.norm, old.norm)


def _put(linear: nn.Linear, weight: Tensor, bias: Tensor) -> None:
    """Fills `linear` with a weight (out, in) of the same outputs; inputs beyond those of `weight` get zeros.

    Of hidden dims that stand several times, each linear reads the first only.
    """
    linear.weight.copy_(F.pad(weight, (0, linear.weight.shape[1] - weight.shape[1])))
    linear.bias.copy_(bias)


def _put_norm(new: LayerNorm, old: LayerNorm) -> None:
    """Fills a LayerNorm with another's weights, as often as its dims stand there."""
    often = len(new.weight) // len(old.weight)
    new.weight.copy_(old.weight.repeat(often))
    new.bias.copy_(old.bias.repeat(often))
