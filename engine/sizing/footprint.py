"""What a shape costs to run and to train: FLOPs part by part, weights in bytes, memory while training.

Integer arithmetic; knows no torch. What Weight-Inherited Distillation adds is in wid_cost.py, time in roofline.py.

Activations are counted by one rule: every tensor that this project's own forward pass (engine/model/bert.py, masked-LM
loss, a mask for padding, fused attention) keeps for its backward pass, once for each storage. Fused attention keeps
queries, keys, values, its output and one number a row and head, but never the (pos, pos) scores. What is only alive for
a moment, such as the logits before their softmax or gradients of activations, is not counted here: the peak of a step,
and transformers' own model, are in engine/sizing/memory/step.py.

In bfloat16 the residual stream is counted in float32, as LayerNorms leave it on a GPU; on a CPU autocast
leaves it in bfloat16 behind a factorised embedding, which keeps 8 bytes a token, layer and hidden dim less.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.sizing.cost import (
    layer_multiply_adds,
    linear_multiply_adds,
    multiply_adds,
    parameters,
    parameters_by_part,
    total_ffn_width,
    total_inner_width,
)
from engine.sizing.shape import Shape
from engine.sizing.tensors import tensor_kinds

PRECISIONS = {"float32": 4.0, "bfloat16": 2.0, "int8": 1.0, "int4": 0.5}  # bytes a weight; no scales, nothing else
TRAINING_PRECISIONS = ("float32", "bfloat16")
MASKED_SHARE = 0.15  # of the tokens are predicted (BERT, section 3.1)
FLOP_PARTS = ("embeddings", "attention", "attention scores", "ffn", "pooler", "heads")


def stored_bytes(shape: Shape, precision: str) -> int:
    """Bytes of the weights alone at one of PRECISIONS, rounded up; quantisation scales are not counted.

    Raises:
        ValueError: there is no such precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    halves = round(2 * PRECISIONS[precision])  # in half bytes, so that no count is ever rounded by a float
    return -(-parameters(shape) * halves // 2)


def executed_by_part(shape: Shape) -> dict[str, int]:
    """Parameters as often as one forward pass uses them: shared layers count once a layer, a tied decoder again."""
    totals = dict.fromkeys(parameters_by_part(shape), 0)
    for entry in tensor_kinds(shape):
        totals[entry.part] += entry.count * entry.executed
    return totals


def flops(shape: Shape, tokens: int, predicted: int | None = None) -> int:
    """FLOPs of the forward pass of one sequence: two a multiply-add of `engine.sizing.cost.multiply_adds`.

    Raises:
        ValueError: as `multiply_adds`.
    """
    return 2 * multiply_adds(shape, tokens, predicted)


def flops_by_part(shape: Shape, tokens: int, predicted: int | None = None) -> dict[str, int]:
    """FLOPs of one sequence for each of WORK_PARTS; they sum to `flops`.

    "attention" are its four linear layers, "attention scores" the products QK^T and with V, which grow with the square
    of `tokens`.

    Raises:
        ValueError: as `multiply_adds`.
    """
    total = flops(shape, tokens, predicted)
    positions = tokens if predicted is None else predicted
    parts = dict.fromkeys(FLOP_PARTS, 0)
    parts["embeddings"] = 2 * tokens * shape.embedding * shape.hidden if shape.factorised else 0
    parts["attention"], parts["ffn"] = (2 * tokens * products for products in layer_multiply_adds(shape))
    parts["attention scores"] = 2 * 2 * tokens * tokens * total_inner_width(shape)
    parts["pooler"] = 2 * shape.hidden**2 if shape.pooler else 0
    if shape.mlm_head:
        parts["heads"] = 2 * positions * shape.embedding * (shape.hidden + shape.vocab)
    parts["heads"] += 4 * shape.hidden if shape.pair_head else 0
    assert sum(parts.values()) == total
    return parts


def layer_flops(shape: Shape, tokens: int, layer: int = 0) -> dict[str, int]:
    """FLOPs of `layer` (0-based) for one sequence: "attention" and "ffn", its linears, and "attention scores"."""
    hidden, inner, ffn = shape.hidden, shape.inner_of(layer), shape.ffn_of(layer)
    linears = {"attention": [(hidden, inner)] * 3 + [(inner, hidden)], "ffn": [(hidden, ffn), (ffn, hidden)]}
    work = {
        part: 2 * tokens * sum(linear_multiply_adds(shape, wide, out) for wide, out in sizes)
        for part, sizes in linears.items()
    }
    return work | {"attention scores": 4 * tokens * tokens * inner}


def predicted_tokens(tokens: int) -> int:
    """How many of a sequence's `tokens` tokens training predicts: 15%, at least one."""
    return max(1, round(MASKED_SHARE * tokens))


@dataclass(frozen=True)
class TrainingBatch:
    """What one training step looks at."""

    sequences: int = 32
    tokens: int = 128  # of each sequence
    precision: str = "float32"  # of matrix products; bfloat16: torch's autocast, with weights kept in float32

    def __post_init__(self) -> None:
        if not 1 <= self.sequences <= 10**12:
            raise ValueError(f"sequences must be between 1 and {10**12:,}, got {self.sequences:,}.")
        if not 1 <= self.tokens <= 10**12:
            raise ValueError(f"tokens must be between 1 and {10**12:,}, got {self.tokens:,}.")
        if self.precision not in TRAINING_PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(TRAINING_PRECISIONS)}, got {self.precision!r}.")

    @property
    def predicted(self) -> int:
        """Tokens of the whole batch that the masked-LM head predicts."""
        return self.sequences * predicted_tokens(self.tokens)


@dataclass(frozen=True)
class TrainingMemory:
    """Bytes while training, by what they are for."""

    weights: int
    gradients: int
    moments: int  # Adam's two
    activations: int  # what the forward pass keeps for the backward pass, by this file's rule
    copies: int = 0  # bfloat16 copies of the weights, which autocast keeps until the backward pass

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.gradients + self.moments + self.activations + self.copies


def training_memory(shape: Shape, batch: TrainingBatch) -> TrainingMemory:
    """Bytes that training `shape` with AdamW takes: float32 weights, gradients and two moments, and activations."""
    weights = 4 * parameters(shape)
    return TrainingMemory(
        weights, weights, 2 * weights, activation_bytes(shape, batch), autocast_copy_bytes(shape, batch)
    )


def activation_bytes(shape: Shape, batch: TrainingBatch) -> int:
    """Bytes of activations kept for the backward pass, by this file's rule. Pooler and pair head are left out."""
    tokens, predicted = batch.sequences * batch.tokens, batch.predicted
    hidden, embedding = shape.hidden, shape.embedding
    half = batch.precision == "bfloat16"
    size = 2 if half else 4  # bytes of what a matrix product reads and writes; LayerNorms look at float32
    # word ids; the sum before the LayerNorm with its mean and deviation; and what the projection reads
    total = tokens * (8 + 4 * embedding + 8) + (tokens * size * embedding if shape.factorised else 0)
    layer = (6 if half else 4) * hidden  # read by query, key and value: one tensor, or three bfloat16 copies
    layer += size + size * hidden  # the mask; what the FFN reads
    layer += 2 * (4 * hidden + 8)  # both sums before LayerNorm, with their means and deviations
    total += shape.layers * tokens * layer
    inner = total_inner_width(shape)
    total += tokens * (size * 4 * inner + 4 * (inner // shape.head_dim))  # Q, K, V, their mixture; one number a head
    # before and after activation; between factors
    total += tokens * size * (2 * total_ffn_width(shape) + total_factor_rank(shape))
    if shape.mlm_head:
        # places; what the transform reads; before and after its activation, after its LayerNorm; mean and deviation
        total += predicted * (8 + size * hidden + 3 * size * embedding + 8)
        total += predicted * (4 * shape.vocab + 8) + 4  # log-probabilities in float32, right words, their number
    return total


def total_factor_rank(shape: Shape) -> int:
    """Dims between the two factors of all factorised linears of all layers."""
    total = 0
    for layer in range(shape.layers if shape.rank else 0):
        inner, ffn = shape.inner_of(layer), shape.ffn_of(layer)
        total += 3 * shape.rank_of(shape.hidden, inner) + shape.rank_of(inner, shape.hidden)
        total += shape.rank_of(shape.hidden, ffn) + shape.rank_of(ffn, shape.hidden)
    return total


def autocast_copy_bytes(shape: Shape, batch: TrainingBatch) -> int:
    """Bytes of the bfloat16 copies of matrices that autocast makes for a step; 0 in float32."""
    if batch.precision != "bfloat16":
        return 0
    matrices = sum(
        entry.parameters for entry in tensor_kinds(shape) if entry.rows and entry.part in ("attention", "ffn")
    )
    if shape.factorised:
        matrices += shape.embedding * shape.hidden
    if shape.mlm_head:
        matrices += shape.embedding * (shape.hidden + shape.vocab)
    return 2 * matrices


def training_flops(shape: Shape, batch: TrainingBatch) -> int:
    """FLOPs of one training step: a forward pass, and twice as much backward (each product has two gradients)."""
    return 3 * batch.sequences * flops(shape, batch.tokens, predicted_tokens(batch.tokens))


def recomputed_flops(shape: Shape, batch: TrainingBatch) -> int:
    """FLOPs that checkpointing every layer adds to a training step: each layer's forward pass once more."""
    layers, times = (range(shape.layers), 1) if shape.uneven else (range(1), shape.layers)
    return batch.sequences * times * sum(sum(layer_flops(shape, batch.tokens, layer).values()) for layer in layers)
