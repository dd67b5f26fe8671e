"""What Weight-Inherited Distillation (arXiv 2305.09098) costs while it trains, and what shapes it can make.

Before, while and after its matrices shrink. Arithmetic only: engine/compactors/heir.py does what is counted here,
and tests hold both together. No torch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.sizing.cost import compactor_parameters, parameters
from engine.sizing.footprint import TrainingBatch
from engine.sizing.shape import Shape, ShapeError
from engine.sizing.step_flops import BatchShape

STRATEGIES = ("dim", "head")


def wid_student(teacher: Shape, width: int, strategy: str = "dim") -> Shape:
    """The student that the method makes of `teacher` at `width`: its depth, an FFN of four widths, an own decoder.

    Strategy "dim" keeps every head and narrows it (768 -> 516: 12 heads of 43); "head" keeps heads of the teacher's
    size and drops whole ones, as many as the width can no longer hold (768 -> 516: 8 heads of 64, which span 512).

    Raises:
        ShapeError: the method cannot make it; the nearest widths that it can are named.
    """
    problems = wid_objections(teacher)
    if strategy not in STRATEGIES:
        problems.append(f"strategy must be one of {', '.join(STRATEGIES)}, got {strategy!r}.")
    if not 1 <= width <= teacher.hidden:
        problems.append(f"A WID student is between 1 and its teacher's {teacher.hidden:,} wide, got {width:,}.")
    if problems:
        raise ShapeError(problems)
    if strategy == "dim" and width % teacher.heads:
        near = nearest_widths(teacher, width)
        raise ShapeError(
            [
                f"Strategy dim keeps the teacher's {teacher.heads} heads and makes all of them equally narrow, so the "
                f"width must be a multiple of {teacher.heads}, got {width:,}; the nearest are "
                f"{' and '.join(f'{one:,}' for one in near)}."
            ]
        )
    if strategy == "head" and width < teacher.head_dim:
        raise ShapeError(
            [
                f"Strategy head keeps heads {teacher.head_dim} dims wide, so the width must be at least "
                f"{teacher.head_dim}, got {width:,}; use strategy dim below that."
            ]
        )
    heads = teacher.heads if strategy == "dim" else min(teacher.heads, width // teacher.head_dim)
    if 4 * width > teacher.ffn:
        raise ShapeError(
            [
                f"The FFN of a student is four widths, {4 * width:,}, and its teacher's has only {teacher.ffn:,}; the "
                f"widest student of this teacher is {teacher.ffn // 4:,}."
            ]
        )
    return teacher.replace(
        hidden=width,
        heads=heads,
        head_dim=width // heads if strategy == "dim" else teacher.head_dim,
        ffn=4 * width,
        embedding=width,
        pooler=False,
        mlm_head=True,
        pair_head=False,
        tied=False,
    )


def nearest_widths(teacher: Shape, width: int) -> list[int]:
    """The widths on either side of `width` that strategy dim can make, nearest first."""
    below = min(width, teacher.hidden) // teacher.heads * teacher.heads
    found = [one for one in (below, below + teacher.heads) if 1 <= one <= teacher.hidden]
    return sorted(found, key=lambda one: abs(one - width))


def wid_objections(teacher: Shape, student: Shape | None = None) -> list[str]:
    """Why `student` cannot inherit from `teacher`, one sentence each; without one, why nobody can."""
    problems = []
    if teacher.factorised or teacher.sharing != "none":
        problems.append("WID inherits from a BERT with unshared layers and embeddings as wide as its hidden states.")
    if student is None or problems:
        return problems
    for name in ("layers", "hidden", "heads", "head_dim", "ffn"):
        has, wants = getattr(teacher, name), getattr(student, name)
        if wants > has:
            problems.append(f"A WID student cannot have more {name} than its teacher's {has:,}, got {wants:,}.")
    if student.factorised or student.sharing != "none":
        problems.append("A WID student shares no layers and its embeddings are as wide as its hidden states.")
    for name in ("vocab", "positions", "token_types"):
        if getattr(teacher, name) != getattr(student, name):
            problems.append(f"A WID student keeps its teacher's {name}, {getattr(teacher, name):,}.")
    return problems


@dataclass(frozen=True)
class HeirCost:
    """One moment of a WID run: what is held and computed."""

    inherited: int  # parameters of the teacher's weights, which stay
    compactors: int  # parameters of the matrices beside them
    multiply_adds: int  # of one forward pass over the batch, products of compactors and weights included

    @property
    def parameters(self) -> int:
        """All that learns; each takes a gradient and two moments."""
        return self.inherited + self.compactors


def heir_costs(teacher: Shape, student: Shape, batch: TrainingBatch) -> tuple[HeirCost, HeirCost]:
    """A WID run from `teacher` to `student` at its start, and after everything has closed and shrunk.

    A shallower student inherits some of the teacher's layers from the start.

    Raises:
        ShapeError: `student` cannot inherit from `teacher`.
    """
    problems = wid_objections(teacher, student)
    if problems:
        raise ShapeError(problems)
    initial = teacher.replace(layers=student.layers, pooler=False, pair_head=False, mlm_head=True)
    return heir_cost(initial, initial, batch), heir_cost(initial, student, batch)


def heir_cost(initial: Shape, current: Shape, batch: TrainingBatch) -> HeirCost:
    """An heir that began as `initial`, its groups shrunk to the sizes of `current`."""
    wide, inner, ffn = (initial.hidden, current.hidden), (initial.inner, current.inner), (initial.ffn, current.ffn)

    def squares(side: tuple[int, int]) -> int:
        return side[0] * side[1]  # a compactor with its closed rows or columns taken out

    layer = 4 * squares(wide) + 4 * squares(inner) + 2 * squares(wide) + 2 * squares(ffn)
    compactors = initial.layers * layer + 4 * squares(wide)  # embedding sum, both sides of the transform, decoder
    norms = 2 * (1 + 2 * initial.layers + 1)  # gains and offsets of every LayerNorm shrink as well
    inherited = parameters(initial) - norms * (wide[0] - wide[1])
    if current is initial:
        assert compactors == compactor_parameters(initial)
    return HeirCost(inherited, compactors, _multiply_adds(initial, current, batch))


def _multiply_adds(initial: Shape, current: Shape, training: TrainingBatch) -> int:
    batch = BatchShape(training.sequences, training.tokens, training.predicted)
    return heir_multiply_adds(initial, group_sizes(current), batch)


def group_sizes(shape: Shape) -> dict[str, int]:
    """How many dims each kind of group has in a model of `shape`."""
    return {"residual": shape.hidden, "attention": shape.inner, "ffn": shape.ffn, "transform": shape.hidden}


def heir_multiply_adds(initial: Shape, present: Mapping[str, int], batch: BatchShape) -> int:
    """Multiply-adds of one forward pass of an heir that began as `initial`, products with compactors included.

    `present`: how many dims of each kind of group (see group_sizes) are still in the matrices.
    """
    wide, narrow = initial.hidden, present["residual"]
    inner, ffn, transform = present["attention"], present["ffn"], present["transform"]
    total = batch.tokens * wide * narrow  # the embedding sum
    total += batch.predicted * narrow * transform + _decoder(initial, transform, batch.predicted)
    layer = batch.tokens * (4 * narrow * inner + 2 * narrow * ffn + 2 * batch.length * inner)
    return total + initial.layers * layer + effective_weight_multiply_adds(initial, present)


def effective_weight_multiply_adds(initial: Shape, present: Mapping[str, int]) -> int:
    """Multiply-adds of every weight between its two compactors, which a step forms whatever its batch."""
    wide, narrow, inner, ffn = initial.hidden, present["residual"], present["attention"], present["ffn"]
    layer = 3 * product_multiply_adds(inner, initial.inner, wide, narrow)  # query, key, value
    layer += product_multiply_adds(narrow, wide, initial.inner, inner)
    layer += product_multiply_adds(ffn, initial.ffn, wide, narrow)
    layer += product_multiply_adds(narrow, wide, initial.ffn, ffn)
    return initial.layers * layer + product_multiply_adds(present["transform"], wide, wide, narrow)


def fold_multiply_adds(initial: Shape, present: Mapping[str, int]) -> int:
    """Multiply-adds of the fold: the products once more, the embedding tables and the decoder's by their compactors."""
    tables = (initial.vocab + initial.positions + initial.token_types) * initial.hidden * present["residual"]
    tables += initial.vocab * initial.hidden * present["transform"]
    return effective_weight_multiply_adds(initial, present) + tables


def _decoder(initial: Shape, narrow: int, predicted: int) -> int:
    """The decoder's compactor goes into the vocabulary's table or onto the activations, whichever is cheaper."""
    if initial.hidden * narrow + predicted * narrow < predicted * initial.hidden:
        return initial.vocab * narrow * (initial.hidden + predicted)
    return predicted * initial.hidden * (narrow + initial.vocab)


def product_multiply_adds(kept_out: int, out: int, wide: int, kept_in: int) -> int:
    """Multiply-adds of (kept_out, out) @ (out, wide) @ (wide, kept_in) and of the bias, the cheaper way round."""
    left = kept_out * out * wide + kept_out * wide * kept_in
    right = out * wide * kept_in + kept_out * out * kept_in
    return min(left, right) + kept_out * out
