"""What weight-inherited distillation costs while it trains, before and after its matrices have shrunk, and what shape a
width and a strategy give (arXiv 2305.09098). Arithmetic only; compactor.py does it, and tests hold both together.
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
    born = teacher.replace(layers=student.layers, pooler=False, pair_head=False, mlm_head=True)
    return heir_cost(born, born, batch), heir_cost(born, student, batch)


def heir_cost(born: Shape, kept: Shape, batch: TrainingBatch) -> HeirCost:
    """An heir born from `born` whose groups have been shrunk to the sizes of `kept`."""
    wide, inner, ffn = (born.hidden, kept.hidden), (born.inner, kept.inner), (born.ffn, kept.ffn)

    def squares(side: tuple[int, int]) -> int:
        return side[0] * side[1]  # a compactor with its closed rows or columns taken out

    layer = 4 * squares(wide) + 4 * squares(inner) + 2 * squares(wide) + 2 * squares(ffn)
    compactors = born.layers * layer + 4 * squares(wide)  # embedding sum, both sides of the transform, decoder
    norms = 2 * (1 + 2 * born.layers + 1)  # gains and offsets of every LayerNorm shrink as well
    inherited = parameters(born) - norms * (wide[0] - wide[1])
    if kept is born:
        assert compactors == compactor_parameters(born)
    return HeirCost(inherited, compactors, _multiply_adds(born, kept, batch))


def _multiply_adds(born: Shape, kept: Shape, batch: TrainingBatch) -> int:
    work = BatchShape(batch.sequences, batch.tokens, batch.predicted)
    return heir_multiply_adds(born, group_sizes(kept), work)


def group_sizes(shape: Shape) -> dict[str, int]:
    """How many dims each kind of group has in a model of `shape`."""
    return {"residual": shape.hidden, "attention": shape.inner, "ffn": shape.ffn, "transform": shape.hidden}


def heir_multiply_adds(born: Shape, kept: Mapping[str, int], work: BatchShape) -> int:
    """Multiply-adds of one forward pass over `work` of an heir born from `born`, its products with compactors included.

    `kept`: how many dims of each kind of group (see kept_sizes) are still in the matrices.
    """
    wide, narrow, inner, ffn, transform = (
        born.hidden,
        kept["residual"],
        kept["attention"],
        kept["ffn"],
        kept["transform"],
    )
    total = work.tokens * wide * narrow  # the embedding sum
    total += work.predicted * narrow * transform + _decoder(born, transform, work.predicted)
    layer = work.tokens * (4 * narrow * inner + 2 * narrow * ffn + 2 * work.length * inner)
    return total + born.layers * layer + effective_weight_multiply_adds(born, kept)


def effective_weight_multiply_adds(born: Shape, kept: Mapping[str, int]) -> int:
    """Multiply-adds of every weight between its two compactors, which a step forms whatever its batch."""
    wide, narrow, inner, ffn = born.hidden, kept["residual"], kept["attention"], kept["ffn"]
    layer = 3 * product_multiply_adds(inner, born.inner, wide, narrow) + product_multiply_adds(
        narrow, wide, born.inner, inner
    )
    layer += product_multiply_adds(ffn, born.ffn, wide, narrow) + product_multiply_adds(narrow, wide, born.ffn, ffn)
    return born.layers * layer + product_multiply_adds(kept["transform"], wide, wide, narrow)


def fold_multiply_adds(born: Shape, kept: Mapping[str, int]) -> int:
    """Multiply-adds of the fold: the products once more, the embedding tables and the decoder's by their compactors."""
    tables = (born.vocab + born.positions + born.token_types) * born.hidden * kept["residual"]
    return effective_weight_multiply_adds(born, kept) + tables + born.vocab * born.hidden * kept["transform"]


def _decoder(born: Shape, narrow: int, predicted: int) -> int:
    """The decoder's compactor goes into the vocabulary's table or onto the activations, whichever is cheaper."""
    if born.hidden * narrow + predicted * narrow < predicted * born.hidden:
        return born.vocab * narrow * (born.hidden + predicted)
    return predicted * born.hidden * (narrow + born.vocab)


def product_multiply_adds(kept_out: int, out: int, wide: int, kept_in: int) -> int:
    """Multiply-adds of (kept_out, out) @ (out, wide) @ (wide, kept_in) and of the bias, the cheaper way round."""
    left = kept_out * out * wide + kept_out * wide * kept_in
    right = out * wide * kept_in + kept_out * out * kept_in
    return min(left, right) + kept_out * out
