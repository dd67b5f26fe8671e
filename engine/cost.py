"""What a Shape costs: an exact ledger of its parameters, and the multiply-adds of a forward pass.

Pure integer arithmetic on a Shape, in closed form over the layers. Knows nothing of weights or torch, so that a what-if
answer never waits for an import.

The tensors are those of BERT (arXiv 1810.04805) and ALBERT (arXiv 1909.11942) as the transformers library builds them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

from engine.shape import Shape, ShapeError

PARTS = ("embeddings", "attention", "ffn", "layer norms", "pooler", "heads")


@dataclass(frozen=True)
class Entry:
    """One kind of tensor of a model. Names do not depend on the sizes, so two ledgers can be laid side by side."""

    name: str  # such as "attention query weight"
    part: str  # one of PARTS
    formula: str  # of one tensor, with the numbers put in, such as "768 x 768"
    count: int  # elements of one tensor
    stored: int  # how many such tensors the model keeps; 0: it borrows one that another entry keeps
    executed: int  # how many times a forward pass uses one: a shared layer is stored once and executed many times

    @property
    def parameters(self) -> int:
        """What this kind of tensor adds to the model's parameter count."""
        return self.count * self.stored


def ledger(shape: Shape) -> list[Entry]:
    """Every kind of tensor of the model, in the order of the forward pass; about 30 entries, whatever the depth.

    Covers embeddings, layers, and the pooler and heads that `shape` asks for. A tied masked-LM decoder is listed with
    `stored` 0: it runs, and costs nothing. An untied decoder is counted with one bias (the library keeps a second copy
    of that bias, which its forward pass never reads).
    """
    return [*_embeddings(shape), *_layers(shape), *_heads(shape)]


def parameters(shape: Shape) -> int:
    """How many parameters the model keeps; shared and tied tensors count once.

    The closed form, because a search asks for thousands of shapes; the ledger sums to the same.
    """
    hidden, inner, (embedding, ffn) = shape.hidden, shape.inner, _derived(shape)
    total = (shape.vocab + shape.positions + shape.token_types) * embedding + 2 * embedding
    if shape.factorised:
        total += embedding * hidden + hidden
    attention, ffns = (shape.groups if shape.shares(part) else shape.layers for part in ("attention", "ffn"))
    total += attention * (4 * hidden * inner + 3 * inner + hidden + 2 * hidden)
    total += ffns * (2 * hidden * ffn + ffn + hidden + 2 * hidden)
    if shape.pooler:
        total += hidden * hidden + hidden
    if shape.mlm_head:
        total += hidden * embedding + 3 * embedding + shape.vocab + (0 if shape.tied else embedding * shape.vocab)
    if shape.pair_head:
        total += 2 * hidden + 2
    return total


def by_part(shape: Shape) -> dict[str, int]:
    """Parameters of each of PARTS, in that order, zeros included; the values sum to `parameters(shape)`."""
    totals = dict.fromkeys(PARTS, 0)
    for entry in ledger(shape):
        totals[entry.part] += entry.parameters
    return totals


def compression(teacher: Shape, student: Shape) -> float:
    """How many times fewer parameters the student has than the teacher (2.0: half of them)."""
    return parameters(teacher) / parameters(student)


def weight_bytes(shape: Shape, bytes_per_parameter: int = 4) -> int:
    """Bytes that the weights take: 4 a parameter in float32, 2 in float16 and bfloat16, 1 in int8."""
    return parameters(shape) * bytes_per_parameter


def multiply_adds(shape: Shape, tokens: int, predicted: int | None = None) -> int:
    """Multiply-adds of the forward pass of one sequence of `tokens` tokens (twice as many FLOPs).

    Counts every matrix product: the linear layers, each layer's attention scores QK^T and their product with V
    (`tokens` squared), the pooler and pair head on [CLS], and, on `predicted` positions (None: on all of them), the
    masked-LM transform and vocabulary projection. Without a masked-LM head `predicted` changes nothing. Embedding
    lookups, biases, activations, softmax and LayerNorms are no products of matrices and are left out. Sharing layers
    saves parameters and none of this.

    Raises:
        ValueError: `tokens` is not in 1..positions, or `predicted` not in 0..tokens.
    """
    if not 1 <= tokens <= shape.positions:
        raise ValueError(f"tokens must be between 1 and the model's {shape.positions:,} positions, got {tokens:,}.")
    predicted = tokens if predicted is None else predicted
    if not 0 <= predicted <= tokens:
        raise ValueError(f"predicted must be between 0 and the {tokens:,} tokens, got {predicted:,}.")
    hidden, inner, (embedding, ffn) = shape.hidden, shape.inner, _derived(shape)
    layer = tokens * (4 * hidden * inner + 2 * hidden * ffn) + 2 * tokens * tokens * inner
    total = shape.layers * layer
    if shape.factorised:
        total += tokens * embedding * hidden
    if shape.mlm_head:
        total += predicted * (hidden * embedding + embedding * shape.vocab)
    if shape.pooler:
        total += hidden * hidden
    if shape.pair_head:
        total += 2 * hidden
    return total


def compactor_parameters(shape: Shape) -> int:
    """Parameters that weight-inherited distillation adds to this teacher while training (arXiv 2305.09098).

    A compactor is a square matrix beside a linear layer. Query, key, value, attention output and both FFN linears of
    every layer have one at the input and one at the output; the sum of the embeddings has one at its output; with a
    masked-LM head, its transform has both and its decoder one at the input. The pooler and the pair head have none.

    Raises:
        ShapeError: the teacher shares layers or factorises its embeddings; the method is defined for BERT only.
    """
    if shape.factorised or shape.sharing != "none":
        raise ShapeError(
            ["Compactors need a BERT teacher: every layer with its own weights, and embeddings as wide as hidden."]
        )
    hidden, inner, (_, ffn) = shape.hidden**2, shape.inner**2, _derived(shape)
    attention = 4 * hidden + 4 * inner  # query, key, value: hidden in, inner out; output: inner in, hidden out
    layer = attention + 2 * hidden + 2 * ffn**2
    return hidden + shape.layers * layer + (3 * hidden if shape.mlm_head else 0)


def _derived(shape: Shape) -> tuple[int, int]:
    """(embedding, ffn): a constructed Shape has filled them, which their types cannot say."""
    return shape.embedding, shape.ffn


def _entry(name: str, part: str, sizes: tuple[int, ...], stored: int = 1, executed: int = 1) -> Entry:
    return Entry(name, part, " x ".join(f"{size:,}" for size in sizes), math.prod(sizes), stored, executed)


def _linear(name: str, part: str, wide: int, out: int, stored: int = 1, executed: int = 1) -> Iterator[Entry]:
    """Weight and bias of a linear layer from `wide` to `out` dims."""
    yield _entry(f"{name} weight", part, (wide, out), stored, executed)
    yield _entry(f"{name} bias", part, (out,), stored, executed)


def _norm(name: str, size: int, stored: int = 1, executed: int = 1) -> Iterator[Entry]:
    """Gain and offset of a LayerNorm over `size` dims."""
    yield _entry(f"{name} LayerNorm gain", "layer norms", (size,), stored, executed)
    yield _entry(f"{name} LayerNorm offset", "layer norms", (size,), stored, executed)


def _embeddings(shape: Shape) -> Iterator[Entry]:
    part, (embedding, _) = "embeddings", _derived(shape)
    yield _entry("word embedding table", part, (shape.vocab, embedding))
    yield _entry("position embedding table", part, (shape.positions, embedding))
    if shape.token_types:
        yield _entry("token type embedding table", part, (shape.token_types, embedding))
    yield from _norm("embedding", embedding)
    if shape.factorised:
        yield from _linear("embedding projection", part, embedding, shape.hidden)


def _layers(shape: Shape) -> Iterator[Entry]:
    """The attention and FFN tensors; what layers share is stored once a group and executed once a layer."""
    # The library stores every group, and none is ever left without a layer, even when the layers do not divide evenly.
    attention, ffn = (shape.groups if shape.shares(part) else shape.layers for part in ("attention", "ffn"))
    layers, (_, ffn_size) = shape.layers, _derived(shape)
    for name in ("query", "key", "value"):
        yield from _linear(f"attention {name}", "attention", shape.hidden, shape.inner, attention, layers)
    yield from _linear("attention output", "attention", shape.inner, shape.hidden, attention, layers)
    yield from _norm("attention", shape.hidden, attention, layers)
    yield from _linear("FFN in", "ffn", shape.hidden, ffn_size, ffn, layers)
    yield from _linear("FFN out", "ffn", ffn_size, shape.hidden, ffn, layers)
    yield from _norm("FFN", shape.hidden, ffn, layers)


def _heads(shape: Shape) -> Iterator[Entry]:
    """The pooler, the masked-LM head and the pair head."""
    embedding, _ = _derived(shape)
    if shape.pooler:
        yield from _linear("pooler", "pooler", shape.hidden, shape.hidden)
    if shape.mlm_head:
        yield from _linear("masked-LM transform", "heads", shape.hidden, embedding)
        yield from _norm("masked-LM", embedding)
        kept = 0 if shape.tied else 1
        yield _entry("masked-LM decoder weight", "heads", (embedding, shape.vocab), stored=kept)
        yield _entry("masked-LM decoder bias", "heads", (shape.vocab,))
    if shape.pair_head:
        yield from _linear("pair head", "heads", shape.hidden, 2)
