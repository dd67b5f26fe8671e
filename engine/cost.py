"""What a Shape costs: an exact ledger of its parameters, and the multiply-adds of a forward pass.

Pure integer arithmetic on a Shape, in closed form over the layers. Knows nothing of weights or torch, so that a what-if
answer never waits for an import.

The tensors are those of BERT (arXiv 1810.04805) and ALBERT (arXiv 1909.11942) as the transformers library builds them.
"""

from __future__ import annotations

import dataclasses
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
    rows: int = 0  # of a linear's weight or the word table: rows, of which each has a scale when the weights are int8

    @property
    def parameters(self) -> int:
        """What this kind of tensor adds to the model's parameter count."""
        return self.count * self.stored


def ledger(shape: Shape) -> list[Entry]:
    """Every kind of tensor of the model, in the order of the forward pass; about 30 entries, whatever the depth.

    Where layers differ in their heads or FFNs, each size is a kind of its own, and its name says which.

    Covers embeddings, layers, and the pooler and heads that `shape` asks for. A tied masked-LM decoder is listed with
    `stored` 0: it runs, and costs nothing. An untied decoder is counted with one bias (the library keeps a second copy
    of that bias, which its forward pass never reads).
    """
    return [*_embeddings(shape), *_layers(shape), *_heads(shape)]


def parameters(shape: Shape) -> int:
    """How many parameters the model keeps; shared and tied tensors count once.

    The closed form, because a search asks for thousands of shapes; the ledger sums to the same.
    """
    if shape.layer_heads or shape.layer_ffn or shape.rank:
        return sum(entry.parameters for entry in ledger(shape))
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


def model_bytes(shape: Shape) -> int:
    """Bytes of all tensors of the model as it is built and saved.

    4 a parameter; 1 for an int8 weight, and 4 for the float32 scale of each of its rows (see linears.py). A file has a
    header beside them.
    """
    total = 4 * parameters(shape)
    if shape.linear_bits == shape.table_bits == 32:
        return total
    for entry in ledger(shape):
        bits = shape.table_bits if entry.name == "word embedding table" else shape.linear_bits
        if entry.rows and bits == 8:
            total -= entry.stored * (3 * entry.count - 4 * entry.rows)
    return total


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
    hidden, (embedding, _) = shape.hidden, _derived(shape)
    total = sum(tokens * work for work in layer_products(shape)) + 2 * tokens * tokens * sum_of_inner(shape)
    if shape.factorised:
        total += tokens * embedding * hidden
    if shape.mlm_head:
        total += predicted * (hidden * embedding + embedding * shape.vocab)
    if shape.pooler:
        total += hidden * hidden
    if shape.pair_head:
        total += 2 * hidden
    return total


def layer_products(shape: Shape) -> tuple[int, int]:
    """Multiply-adds a token in the (attention, FFN) linears of all layers together."""
    hidden, inner, ffn = shape.hidden, shape.inner, shape.ffn
    if not (shape.layer_heads or shape.layer_ffn or shape.rank):
        return 4 * shape.layers * hidden * inner, 2 * shape.layers * hidden * ffn
    attention = sum(
        3 * product(shape, hidden, wide) + product(shape, wide, hidden)
        for wide in map(shape.inner_of, range(shape.layers))
    )
    ffns = sum(
        product(shape, hidden, wide) + product(shape, wide, hidden) for wide in map(shape.ffn_of, range(shape.layers))
    )
    return attention, ffns


def sum_of_inner(shape: Shape) -> int:
    """The widths of all layers' queries, added up."""
    return sum(shape.layer_heads) * shape.head_dim if shape.layer_heads else shape.layers * shape.inner


def sum_of_ffn(shape: Shape) -> int:
    """The widths of all layers' FFNs, added up."""
    return sum(shape.layer_ffn) if shape.layer_ffn else shape.layers * shape.ffn


def product(shape: Shape, wide: int, out: int) -> int:
    """Multiply-adds a token of a layer's linear, and weights of it: the product of two factors, or whole."""
    return shape.rank_of(wide, out) * (wide + out) or wide * out


def compactor_parameters(shape: Shape) -> int:
    """Parameters that weight-inherited distillation adds to this teacher while training (arXiv 2305.09098).

    A compactor is a square matrix beside a linear layer. Query, key, value, attention output and both FFN linears of
    every layer have one at the input and one at the output; the sum of the embeddings has one at its output; with a
    masked-LM head, its transform has both and its decoder one at the input. The pooler and the pair head have none.

    Raises:
        ShapeError: the teacher shares layers, factorises its embeddings, or is not plain; the method is defined for
            BERT only.
    """
    if shape.factorised or shape.sharing != "none" or shape.marks:
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


def _linear(
    name: str, part: str, wide: int, out: int, stored: int = 1, executed: int = 1, rank: int = 0
) -> Iterator[Entry]:
    """Weight and bias of a linear layer from `wide` to `out` dims; two weights if it has a `rank`."""
    if rank:
        yield _matrix(f"{name} first weight", part, wide, rank, stored, executed)
        yield _matrix(f"{name} second weight", part, rank, out, stored, executed)
    else:
        yield _matrix(f"{name} weight", part, wide, out, stored, executed)
    yield _entry(f"{name} bias", part, (out,), stored, executed)


def _matrix(name: str, part: str, wide: int, out: int, stored: int = 1, executed: int = 1) -> Entry:
    """The weight of a linear, which has a row for each of its `out` outputs."""
    return dataclasses.replace(_entry(name, part, (wide, out), stored, executed), rows=out)


def _norm(name: str, size: int, stored: int = 1, executed: int = 1) -> Iterator[Entry]:
    """Gain and offset of a LayerNorm over `size` dims."""
    yield _entry(f"{name} LayerNorm gain", "layer norms", (size,), stored, executed)
    yield _entry(f"{name} LayerNorm offset", "layer norms", (size,), stored, executed)


def _embeddings(shape: Shape) -> Iterator[Entry]:
    part, (embedding, _) = "embeddings", _derived(shape)
    yield dataclasses.replace(_entry("word embedding table", part, (shape.vocab, embedding)), rows=shape.vocab)
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
    layers, hidden = shape.layers, shape.hidden

    def linear(name: str, part: str, wide: int, out: int, stored: int, executed: int) -> Iterator[Entry]:
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


def _heads(shape: Shape) -> Iterator[Entry]:
    """The pooler, the masked-LM head and the pair head."""
    embedding, _ = _derived(shape)
    if shape.pooler:
        yield from _linear("pooler", "pooler", shape.hidden, shape.hidden)
    if shape.mlm_head:
        yield from _linear("masked-LM transform", "heads", shape.hidden, embedding)
        yield from _norm("masked-LM", embedding)
        kept = 0 if shape.tied else 1
        yield _matrix("masked-LM decoder weight", "heads", embedding, shape.vocab, stored=kept)
        yield _entry("masked-LM decoder bias", "heads", (shape.vocab,))
    if shape.pair_head:
        yield from _linear("pair head", "heads", shape.hidden, 2)
