"""BERT and ALBERT on one page, built from a Shape.

The forward pass is the papers' (arXiv 1810.04805, 1909.11942), post-layer-norm, without dropout. One page of our own
because a student may have heads that do not fill its hidden width, layers that share only their attention or only
their FFN, layers that differ in their sizes, and LayerNorms that look at some dims only; the library's classes can
express none of these.

Axes: batch pos hidden head head_dim ffn layer vocab.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model.linears import FakeQuantEmbedding, FakeQuantLinear, Int8Embedding, Int8Linear, make_linear
from engine.settings.device import full_precision
from engine.sizing.shape import NORM_EPS, Shape, ShapeError

INIT_DEVIATION = 0.02  # of fresh weights: BERT, appendix A.2
Trace = dict[str, list[Tensor]]  # what a caller wants to see: its keys say what, forward appends one tensor a layer
TRACEABLE = ("hidden", "attentions", "scores", "query", "key", "value", "pair")


class LayerNorm(nn.Module):
    """LayerNorm whose mean and variance may be taken over some dims only."""

    def __init__(self, size: int, eps: float = NORM_EPS) -> None:
        super().__init__()
        self.eps = eps
        self.weight = nn.Parameter(torch.ones(size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.keep: Tensor | None  # (size,) of 0 and 1; None: all dims
        self.register_buffer("keep", None, persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """(..., size) -> (..., size)."""
        if self.keep is None:
            return F.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)
        x, kept = x.float(), self.keep.sum()
        centred = x - (x * self.keep).sum(-1, keepdim=True) / kept
        variance = (centred * self.keep).square().sum(-1, keepdim=True) / kept
        return centred * torch.rsqrt(variance + self.eps) * self.weight + self.bias


class Attention(nn.Module):
    """Multi-head self-attention with its residual addition and LayerNorm."""

    def __init__(self, shape: Shape, layer: int = 0) -> None:
        super().__init__()
        self.heads, self.scale = shape.heads_of(layer), shape.head_dim**-0.5
        self.query = _layer_linear(shape, shape.hidden, shape.inner_of(layer))
        self.key = _layer_linear(shape, shape.hidden, shape.inner_of(layer))
        self.value = _layer_linear(shape, shape.hidden, shape.inner_of(layer))
        self.output = _layer_linear(shape, shape.inner_of(layer), shape.hidden)
        self.norm = LayerNorm(shape.hidden, shape.norm_eps)

    def forward(self, x: Tensor, visible: Tensor | None, trace: Trace) -> Tensor:
        """x (batch, pos, hidden); visible (batch, 1, 1, pos) bool or None -> (batch, pos, hidden)."""
        query, key, value = self.project(x, trace)
        if "attentions" in trace or "scores" in trace or fused_attention_is_slow(query):
            attention = self.scores(query, key, visible, trace).softmax(-1)
            trace.get("attentions", []).append(attention)
            mixed = attention @ value
        else:
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=visible, scale=self.scale)
        return self.norm(x + self.output(mixed.transpose(1, 2).flatten(2)))

    def project(self, x: Tensor, trace: Trace) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values of x (batch, pos, hidden): (batch, head, pos, head_dim) each."""
        query, key, value = (
            linear(x).unflatten(-1, (self.heads, -1)).transpose(1, 2) for linear in (self.query, self.key, self.value)
        )
        for name, tensor in (("query", query), ("key", key), ("value", value)):
            trace.get(name, []).append(tensor)
        return query, key, value

    def scores(self, query: Tensor, key: Tensor, visible: Tensor | None, trace: Trace) -> Tensor:
        """What every position thinks of every other before the softmax, (batch, head, pos, pos); least at padding."""
        scores = query @ key.transpose(-1, -2) * self.scale
        if visible is not None:
            scores = scores.masked_fill(~visible, torch.finfo(scores.dtype).min)
        trace.get("scores", []).append(scores)
        return scores


class FeedForward(nn.Module):
    """The two-layer perceptron of a block with its residual addition and LayerNorm."""

    def __init__(self, shape: Shape, layer: int = 0) -> None:
        super().__init__()
        self.activation = shape.activation
        self.up = _layer_linear(shape, shape.hidden, shape.ffn_of(layer))
        self.down = _layer_linear(shape, shape.ffn_of(layer), shape.hidden)
        self.norm = LayerNorm(shape.hidden, shape.norm_eps)

    def forward(self, x: Tensor) -> Tensor:
        """(batch, pos, hidden) -> (batch, pos, hidden)."""
        return self.norm(x + self.down(activate(self.up(x), self.activation)))


class Embeddings(nn.Module):
    """Word, position and token-type embeddings, their LayerNorm, and ALBERT's projection to the hidden width."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        table = Int8Embedding if shape.table_bits == 8 else nn.Embedding
        self.word = cast(nn.Embedding, table(shape.vocab, shape.embedding))
        self.position = nn.Embedding(shape.positions, shape.embedding)
        self.token_type = nn.Embedding(shape.token_types, shape.embedding) if shape.token_types else None
        self.norm = LayerNorm(shape.embedding, shape.norm_eps)
        bits = shape.linear_bits
        self.projection = make_linear(shape.embedding, shape.hidden, bits=bits) if shape.factorised else None
        self.compactor: Tensor | None = None  # (embedding, kept): on the sum, while weights are inherited
        self.tells_texts_apart = shape.token_types > 1

    def forward(self, ids: Tensor, types: Tensor | None) -> Tensor:
        """ids (batch, pos), types (batch, pos) or None for all zero -> (batch, pos, hidden).

        Here alone it is decided what becomes of types: a model that has one kind, or none, sees no difference.
        """
        x = self.word(ids) + self.position.weight[: ids.shape[1]]
        if self.token_type is not None:
            x = x + (
                self.token_type(types) if types is not None and self.tells_texts_apart else self.token_type.weight[0]
            )
        x = self.norm(x if self.compactor is None else x @ self.compactor)
        return x if self.projection is None else self.projection(x)


class MaskedLMHead(nn.Module):
    """Transform, activation, LayerNorm and the vocabulary projection."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.activation, bits = shape.activation, shape.linear_bits
        self.transform = make_linear(shape.hidden, shape.embedding, bits=bits)
        self.norm = LayerNorm(shape.embedding, shape.norm_eps)
        self.decoder = None if shape.tied else make_linear(shape.embedding, shape.vocab, bits=bits, bias=False)
        self.bias = nn.Parameter(torch.zeros(shape.vocab))
        self.compactor: Tensor | None = None  # (kept, embedding): before the decoder, while weights are inherited

    def forward(self, x: Tensor, table: Tensor | Int8Embedding | FakeQuantEmbedding) -> Tensor:
        """x (..., hidden), table (vocab, embedding) for a tied decoder -> logits (..., vocab)."""
        x = self.norm(activate(self.transform(x), self.activation))
        if isinstance(self.decoder, Int8Linear | FakeQuantLinear):
            return self.decoder(x) + self.bias
        if self.decoder is not None:
            table = self.decoder.weight
        if not isinstance(table, Tensor):
            return table.decode(x, self.bias)
        if self.compactor is not None and compactor_into_table(x.numel() // x.shape[-1], *self.compactor.shape):
            with full_precision(x.device.type):
                table = table @ self.compactor.T
        elif self.compactor is not None:
            x = x @ self.compactor
        return F.linear(x, table, self.bias)


def _layer_linear(shape: Shape, wide: int, out: int) -> nn.Linear:
    """A linear of a layer: two factors where the shape has a rank and they save."""
    return make_linear(wide, out, shape.rank_of(wide, out), shape.linear_bits)


def fused_attention_is_slow(query: Tensor) -> bool:
    """Whether torch's fused attention is slower than its three parts: on a CPU in bfloat16, when gradients are wanted.

    Measured at 32 x 64 and 16 x 128 tokens of 6 x 384 with one thread: a step with it takes 1.3 to 1.8 times as long.
    """
    return query.device.type == "cpu" and query.dtype == torch.bfloat16 and query.requires_grad


def compactor_into_table(positions: int, kept: int, embedding: int) -> bool:
    """Whether a compactor (kept, embedding) before the decoder costs less multiplied into the vocabulary's table.

    A row of the vocabulary then costs embedding x kept once and kept a position, instead of embedding a position.
    """
    return embedding * kept + positions * kept < positions * embedding


class Bert(nn.Module):
    """A BERT-family encoder with the heads that its Shape asks for."""

    def __init__(self, shape: Shape) -> None:
        super().__init__()
        self.shape = shape
        self.embeddings = Embeddings(shape)
        self.attentions = nn.ModuleList(Attention(shape, layer) for layer in shape.owners("attention"))
        self.ffns = nn.ModuleList(FeedForward(shape, layer) for layer in shape.owners("ffn"))
        bits = shape.linear_bits
        self.pooler = make_linear(shape.hidden, shape.hidden, bits=bits) if shape.pooler else None
        self.head = MaskedLMHead(shape) if shape.mlm_head else None
        self.pair = make_linear(shape.hidden, 2, bits=bits) if shape.pair_head else None

    def blocks(self, layer: int) -> tuple[Attention, FeedForward]:
        """The attention and FFN modules that `layer` (0-based) uses; shared ones belong to its group."""
        group = self.shape.group_of(layer)
        attention = self.attentions[group if self.shape.shares("attention") else layer]
        ffn = self.ffns[group if self.shape.shares("ffn") else layer]
        assert isinstance(attention, Attention)
        assert isinstance(ffn, FeedForward)
        return attention, ffn

    def encode(
        self,
        ids: Tensor,
        visible: Tensor | None = None,
        types: Tensor | None = None,
        trace: Trace | None = None,
        layers: Collection[int] | None = None,
    ) -> Tensor:
        """The last hidden states, (batch, pos, hidden).

        ids (batch, pos) int; visible (batch, pos) bool, False at padding, None: everything; types (batch, pos) int.
        `trace` maps names among TRACEABLE to lists: "hidden" gets layers + 1 tensors (batch, pos, hidden), the
        embedding output first; "attentions" and "scores" get (batch, head, pos, pos) a layer; queries, keys
        and values (batch, head, pos, head_dim). "pair", which `forward` alone fills, gets pair logits (batch, 2).
        `layers`: whose attention `trace` asks about (0-based; -1 is the last), None: all; the others keep nothing.
        """
        trace = {} if trace is None else trace
        mask = None if visible is None else visible[:, None, None, :].bool()
        x = self.embeddings(ids, types)
        for layer in range(self.shape.layers):
            trace.get("hidden", []).append(x)
            attention, ffn = self.blocks(layer)
            traced = layers is None or layer in layers or layer - self.shape.layers in layers
            x = ffn(attention(x, mask, trace if traced else {}))
        trace.get("hidden", []).append(x)
        return x

    def trace_layer(self, ids: Tensor, visible: Tensor | None, layer: int, trace: Trace) -> None:
        """Puts the queries, keys, values and scores of `layer` (0-based), those asked for, into `trace`.

        Computes nothing else of that layer, and no later one: for who imitates the attention of one layer.
        """
        mask = None if visible is None else visible[:, None, None, :].bool()
        x = self.embeddings(ids, None)
        for before in range(layer):
            attention, ffn = self.blocks(before)
            x = ffn(attention(x, mask, {}))
        attention, _ = self.blocks(layer)
        query, key, _ = attention.project(x, trace)
        if "scores" in trace:
            attention.scores(query, key, mask, trace)

    def forward(
        self,
        ids: Tensor,
        visible: Tensor | None = None,
        types: Tensor | None = None,
        positions: Tensor | None = None,
        trace: Trace | None = None,
        layers: Collection[int] | None = None,
    ) -> Tensor:
        """Masked-LM logits: (batch, pos, vocab), or (n, vocab) for the flat `positions` (n,) in batch x pos.

        Only the asked positions go through the vocabulary projection, the widest product of a small model. `trace` and
        `layers` as in `encode`.

        Raises:
            ShapeError: the model has no masked-LM head.
        """
        if self.head is None:
            raise ShapeError(["This model has no masked-LM head, so it cannot fill in words; give its shape mlm_head."])
        x = self.encode(ids, visible, types, trace, layers)
        if trace is not None and "pair" in trace:
            trace["pair"].append(self.pair_logits(x))
        word = self.embeddings.word
        table = word if isinstance(word, Int8Embedding | FakeQuantEmbedding) else word.weight
        return self.head(x if positions is None else x.flatten(0, 1)[positions], table)

    def pair_logits(self, last_hidden: Tensor) -> Tensor:
        """Sentence-pair logits (batch, 2) from last hidden states (batch, pos, hidden)."""
        assert self.pair is not None, "pair_logits needs a pair head"
        return self.pair(self.pooled(last_hidden))

    def pooled(self, last_hidden: Tensor) -> Tensor:
        """What a text is classified by, (batch, hidden): [CLS] of the last hidden states behind the pooler."""
        assert self.pooler is not None, "only a model with a pooler can be asked for it"
        return torch.tanh(self.pooler(last_hidden[:, 0]))


def activate(x: Tensor, name: str) -> Tensor:
    """GELU, exact ("gelu") or approximated by tanh ("gelu_new", ALBERT), or ReLU ("relu")."""
    if name == "relu":
        return F.relu(x)
    return F.gelu(x, approximate="tanh" if name == "gelu_new" else "none")


def new_bert(shape: Shape, seed: int, deviation: float = INIT_DEVIATION) -> Bert:
    """A freshly initialised model: weights normal with this deviation, biases zero (BERT, appendix A.2).

    Where `shape` has int8 weights, this has float32 ones.
    """
    bert, generator = Bert(shape.replace(linear_bits=32, table_bits=32)), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in bert.named_parameters():
            if parameter.ndim == 2:
                parameter.normal_(0.0, deviation, generator=generator)
            elif not name.endswith("norm.weight"):
                parameter.zero_()
    return bert
