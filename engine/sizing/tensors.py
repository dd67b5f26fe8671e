"""Every kind of tensor of a model, with its sizes and how often it is stored and used.

Pure integer arithmetic on a Shape; knows nothing of weights or torch. The tensors are those of BERT (arXiv 1810.04805)
and ALBERT (arXiv 1909.11942) as the transformers library builds them.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass

from engine.sizing.shape import Shape

PARTS = ("embeddings", "attention", "ffn", "layer norms", "pooler", "heads")


@dataclass(frozen=True)
class TensorKind:
    """One kind of tensor of a model. Its name does not depend on sizes, so two models can be laid side by side."""

    name: str  # such as "attention query weight"
    part: str  # one of PARTS
    formula: str  # of one tensor, with the numbers put in, such as "768 x 768"
    count: int  # elements of one tensor
    stored: int  # how many such tensors the model keeps; 0: it borrows one that another entry keeps
    executed: int  # how many times a forward pass uses one: a shared layer is stored once and executed many times
    rows: int = 0  # of a linear's weight or the word table: rows, of which each has a scale when the weights are int8

    @property
    def parameters(self) -> int:
        """What this kind of tensor adds to the model's parameter count."""
        return self.count * self.stored


def tensor_kinds(shape: Shape) -> list[TensorKind]:
    """Every kind of tensor of the model, in the order of the forward pass; about 30 entries, whatever the depth.

    Where layers differ in their heads or FFNs, each size is a kind of its own, and its name says which.

    Covers embeddings, layers, and the pooler and heads that `shape` asks for. A tied masked-LM decoder is listed with
    `stored` 0: it runs, and costs nothing. An untied decoder is counted with one bias (the library keeps a second copy
    of that bias, which its forward pass never reads).
    """
    return [*_embeddings(shape), *_layers(shape), *_heads(shape)]


def _kind(name: str, part: str, sizes: tuple[int, ...], stored: int = 1, executed: int = 1) -> TensorKind:
    return TensorKind(name, part, " x ".join(f"{size:,}" for size in sizes), math.prod(sizes), stored, executed)


def _linear(
    name: str, part: str, wide: int, out: int, stored: int = 1, executed: int = 1, rank: int = 0
) -> Iterator[TensorKind]:
    """Weight and bias of a linear layer from `wide` to `out` dims; two weights if it has a `rank`."""
    if rank:
        yield _matrix(f"{name} first weight", part, wide, rank, stored, executed)
        yield _matrix(f"{name} second weight", part, rank, out, stored, executed)
    else:
        yield _matrix(f"{name} weight", part, wide, out, stored, executed)
    yield _kind(f"{name} bias", part, (out,), stored, executed)


def _matrix(name: str, part: str, wide: int, out: int, stored: int = 1, executed: int = 1) -> TensorKind:
    """The weight of a linear, which has a row for each of its `out` outputs."""
    return dataclasses.replace(_kind(name, part, (wide, out), stored, executed), rows=out)


def _norm(name: str, size: int, stored: int = 1, executed: int = 1) -> Iterator[TensorKind]:
    """Gain and offset of a LayerNorm over `size` dims."""
    yield _kind(f"{name} LayerNorm gain", "layer norms", (size,), stored, executed)
    yield _kind(f"{name} LayerNorm offset", "layer norms", (size,), stored, executed)


def _embeddings(shape: Shape) -> Iterator[TensorKind]:
    part, embedding = "embeddings", shape.embedding
    yield dataclasses.replace(_kind("word embedding table", part, (shape.vocab, embedding)), rows=shape.vocab)
    yield _kind("position embedding table", part, (shape.positions, embedding))
    if shape.token_types:
        yield _kind("token type embedding table", part, (shape.token_types, embedding))
    yield from _norm("embedding", embedding)
    if shape.factorised:
        yield from _linear("embedding projection", part, embedding, shape.hidden)


def _layers(shape: Shape) -> Iterator[TensorKind]:
    """The attention and FFN tensors; what layers share is stored once a group and executed once a layer."""
    # The library stores every group, and none is ever left without a layer, even when the layers do not divide evenly.
    attention, ffn = (shape.groups if shape.shares(part) else shape.layers for part in ("attention", "ffn"))
    layers, hidden = shape.layers, shape.hidden

    def linear(name: str, part: str, wide: int, out: int, stored: int, executed: int) -> Iterator[TensorKind]:
        yield from _linear(name, part, wide, out, stored, executed, shape.rank_of(wide, out))

    for heads, stored, executed in _sizes(shape, "attention", shape.heads, shape.layer_heads):
        inner, of = heads * shape.head_dim, f" of {heads:,} heads" if shape.layer_heads else ""
        for name in ("query", "key", "value"):
            yield from linear(f"attention{of} {name}", "attention", hidden, inner, stored, executed)
        yield from linear(f"attention{of} output", "attention", inner, hidden, stored, executed)
    yield from _norm("attention", hidden, attention, layers)
    for wide, stored, executed in _sizes(shape, "ffn", shape.ffn, shape.layer_ffn):
        of = f" of {wide:,}" if shape.layer_ffn else ""
        yield from linear(f"FFN{of} in", "ffn", hidden, wide, stored, executed)
        yield from linear(f"FFN{of} out", "ffn", wide, hidden, stored, executed)
    yield from _norm("FFN", hidden, ffn, layers)


def _sizes(shape: Shape, part: str, even: int, uneven: tuple[int, ...]) -> Iterator[tuple[int, int, int]]:
    """(size, how many such blocks are stored, how often one is executed) of every size, the largest first."""
    shared = shape.shares(part)
    if not uneven:
        yield even, shape.groups if shared else shape.layers, shape.layers
        return
    for size in sorted(set(uneven), reverse=True):
        here = [layer for layer, number in enumerate(uneven) if number == size]
        yield size, len({shape.group_of(layer) for layer in here}) if shared else len(here), len(here)


def _heads(shape: Shape) -> Iterator[TensorKind]:
    """The pooler, the masked-LM head and the pair head."""
    embedding = shape.embedding
    if shape.pooler:
        yield from _linear("pooler", "pooler", shape.hidden, shape.hidden)
    if shape.mlm_head:
        yield from _linear("masked-LM transform", "heads", shape.hidden, embedding)
        yield from _norm("masked-LM", embedding)
        kept = 0 if shape.tied else 1
        yield _matrix("masked-LM decoder weight", "heads", embedding, shape.vocab, stored=kept)
        yield _kind("masked-LM decoder bias", "heads", (shape.vocab,))
    if shape.pair_head:
        yield from _linear("pair head", "heads", shape.hidden, 2)
