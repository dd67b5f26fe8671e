"""FLOPs of a training step, term by term, from shapes alone. Two FLOPs a multiply-add, matrix products only.

A step is a forward pass of the student and a backward pass of twice as many FLOPs (every product has two gradients),
and whatever forward passes of the teacher its method asks for. Knows no torch and no method; methods say which of these
terms are theirs (Method.pass_flops in engine/methods/base.py), and a test holds every sum to what torch counts.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.sizing.cost import linear_multiply_adds, multiply_adds
from engine.sizing.shape import Shape

FORWARD_AND_BACKWARD = 3  # forward, and twice as much backward


@dataclass(frozen=True)
class BatchShape:
    """The size of the batch of one forward pass: rows cut to the longest of them."""

    rows: int
    length: int  # tokens of each row, padding included
    predicted: int  # hidden tokens that are to be predicted, in all rows together

    @property
    def tokens(self) -> int:
        """All positions, padding included."""
        return self.rows * self.length


def encoder_flops(shape: Shape, batch: BatchShape) -> int:
    """FLOPs of the last hidden states, without any head."""
    bare = shape.replace(pooler=False, pair_head=False)
    return 2 * batch.rows * multiply_adds(bare, batch.length, 0)


def mlm_head_flops(shape: Shape, positions: int) -> int:
    """FLOPs of the masked-LM head at so many positions: its transform and the vocabulary projection."""
    return 2 * positions * (multiply_adds(shape, 1, 1) - multiply_adds(shape, 1, 0))


def pair_head_flops(shape: Shape, rows: int) -> int:
    """FLOPs of the pooler and the pair head, once a row; 0 for a shape that has none."""
    bare = shape.replace(pooler=False, pair_head=False)
    return 2 * rows * (multiply_adds(shape, 1, 0) - multiply_adds(bare, 1, 0))


def forward_flops(shape: Shape, batch: BatchShape) -> int:
    """FLOPs of a forward pass with masked-LM logits at the hidden words."""
    return encoder_flops(shape, batch) + mlm_head_flops(shape, batch.predicted)


def attention_flops(shape: Shape, batch: BatchShape, layer: int, *, scores: bool) -> int:
    """FLOPs of everything up to the queries, keys and values of `layer` (0-based), and with `scores` their scores.

    What `Bert.trace_layer` computes: nothing of the layer behind them, no later layer, no head.
    """
    before = _embedding_flops(shape, batch)
    if layer:
        uneven = {name: getattr(shape, name)[:layer] for name in ("layer_heads", "layer_ffn") if getattr(shape, name)}
        if uneven:  # then no layer is shared
            before = encoder_flops(shape.replace(layers=layer, **uneven), batch)
        else:
            before += layer * (encoder_flops(shape, batch) - before) // shape.layers
    inner = shape.inner_of(layer)
    linears = 3 * linear_multiply_adds(shape, shape.hidden, inner)
    return before + 2 * batch.tokens * (linears + (batch.length * inner if scores else 0))


def relation_flops(inner: int, batch: BatchShape) -> int:
    """FLOPs of the products of every position with every other, over heads that span `inner` dims together."""
    return 2 * batch.rows * batch.length**2 * inner


def linear_flops(tokens: int, wide: int, out: int) -> int:
    """FLOPs of a linear layer from `wide` to `out` dims."""
    return 2 * tokens * wide * out


def _embedding_flops(shape: Shape, batch: BatchShape) -> int:
    return 2 * batch.tokens * shape.embedding * shape.hidden if shape.factorised else 0
