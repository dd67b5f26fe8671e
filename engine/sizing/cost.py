"""What a Shape costs: its parameters and bytes, exactly, and the multiply-adds of a forward pass.

Pure integer arithmetic on a Shape, in closed form over the layers. Knows nothing of weights or torch, so that a what-if
answer never waits for an import.
"""

from __future__ import annotations

from engine.sizing.shape import Shape, ShapeError
from engine.sizing.tensors import PARTS, tensor_kinds


def parameters(shape: Shape) -> int:
    """How many parameters the model keeps; shared and tied tensors count once.

    The closed form, because a search asks for thousands of shapes; the tensors sum to the same.
    """
    if shape.layer_heads or shape.layer_ffn or shape.rank:
        return sum(entry.parameters for entry in tensor_kinds(shape))
    hidden, inner, embedding, ffn = shape.hidden, shape.inner, shape.embedding, shape.ffn
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


def parameters_by_part(shape: Shape) -> dict[str, int]:
    """Parameters of each of PARTS, in that order, zeros included; the values sum to `parameters(shape)`."""
    totals = dict.fromkeys(PARTS, 0)
    for entry in tensor_kinds(shape):
        totals[entry.part] += entry.parameters
    return totals


def compression_ratio(teacher: Shape, student: Shape) -> float:
    """How many times fewer parameters the student has than the teacher (2.0: half of them)."""
    return parameters(teacher) / parameters(student)


def weight_bytes(shape: Shape, bytes_per_parameter: int = 4) -> int:
    """Bytes that the weights take: 4 a parameter in float32, 2 in float16 and bfloat16, 1 in int8."""
    return parameters(shape) * bytes_per_parameter


def model_bytes(shape: Shape) -> int:
    """Bytes of all tensors of the model as it is built and saved.

    4 a parameter; 1 for an int8 weight, and 4 for the float32 scale of each of its rows (engine/model/linears.py). A
    file has a header beside them.
    """
    total = 4 * parameters(shape)
    if shape.linear_bits == shape.table_bits == 32:
        return total
    for entry in tensor_kinds(shape):
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
    hidden, embedding = shape.hidden, shape.embedding
    total = sum(tokens * work for work in layer_multiply_adds(shape)) + 2 * tokens * tokens * total_inner_width(shape)
    if shape.factorised:
        total += tokens * embedding * hidden
    if shape.mlm_head:
        total += predicted * (hidden * embedding + embedding * shape.vocab)
    if shape.pooler:
        total += hidden * hidden
    if shape.pair_head:
        total += 2 * hidden
    return total


def layer_multiply_adds(shape: Shape) -> tuple[int, int]:
    """Multiply-adds a token in the (attention, FFN) linears of all layers together."""
    hidden, inner, ffn = shape.hidden, shape.inner, shape.ffn
    if not (shape.layer_heads or shape.layer_ffn or shape.rank):
        return 4 * shape.layers * hidden * inner, 2 * shape.layers * hidden * ffn
    attention = sum(
        3 * linear_multiply_adds(shape, hidden, wide) + linear_multiply_adds(shape, wide, hidden)
        for wide in map(shape.inner_of, range(shape.layers))
    )
    ffns = sum(
        linear_multiply_adds(shape, hidden, wide) + linear_multiply_adds(shape, wide, hidden)
        for wide in map(shape.ffn_of, range(shape.layers))
    )
    return attention, ffns


def total_inner_width(shape: Shape) -> int:
    """The widths of all layers' queries, added up."""
    return sum(shape.layer_heads) * shape.head_dim if shape.layer_heads else shape.layers * shape.inner


def total_ffn_width(shape: Shape) -> int:
    """The widths of all layers' FFNs, added up."""
    return sum(shape.layer_ffn) if shape.layer_ffn else shape.layers * shape.ffn


def linear_multiply_adds(shape: Shape, wide: int, out: int) -> int:
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
    if shape.factorised or shape.sharing != "none" or shape.compressions:
        raise ShapeError(
            ["Compactors need a BERT teacher: every layer with its own weights, and embeddings as wide as hidden."]
        )
    hidden, inner, ffn = shape.hidden**2, shape.inner**2, shape.ffn
    attention = 4 * hidden + 4 * inner  # query, key, value: hidden in, inner out; output: inner in, hidden out
    layer = attention + 2 * hidden + 2 * ffn**2
    return hidden + shape.layers * layer + (3 * hidden if shape.mlm_head else 0)
