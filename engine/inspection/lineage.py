"""Ancestry: what a WID student is made of, read from its compactors alone. Pure mathematics on arrays; knows no model.

A linear of the student is C @ W @ R, with C (student's out, teacher's out) and R (teacher's in, student's in) its
compactors (engine/compactors/heir.py). How much of one of the teacher's dims is in one of the student's is the square
of the entry between them. Squares add up, as variances do: the share of a whole head is the squared Frobenius norm of
its block, and the shares of all heads are 1 together, however the dims are cut into blocks. At birth compactors are
identity, and every dim has itself as its only parent.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from engine.sizing.shape import Shape

HEAD_PARTS = ("both", "query-key", "value-output")
KINDS = ("attention", "ffn")  # groups that every layer has its own of


class LineageError(ValueError):
    """A lineage that does not fit its student and teacher, in one sentence."""


@dataclass(frozen=True)
class Lineage:
    """The compactors of one student, and whose they are."""

    matrices: Mapping[str, np.ndarray]  # as Heir.lineage names them, without the dims
    dims: Mapping[str, np.ndarray]  # group -> (student's dims,) the teacher's dims that survived, ascending
    teacher: Shape
    student: Shape
    layers: Sequence[int]  # the teacher's layer (from 0) that each of the student's layers comes from

    def shares(self, name: str) -> np.ndarray:
        """(student's dims, teacher's dims), rows summing to 1: what each dim on one side of a linear is made of.

        `name`: such as "attentions.0.query.column" (what the linear puts out) or "ffns.1.up.row" (what it takes in).
        """
        return normalised(np.square(self._oriented(name)))

    def _oriented(self, name: str) -> np.ndarray:
        """A compactor as (student's dims, teacher's dims)."""
        matrix = np.asarray(self.matrices[name], np.float64)
        return matrix if name.endswith(".column") else matrix.T

    # ---- heads -------------------------------------------------------------------------------------------------------

    def head_shares(self, layer: int, part: str = "both") -> np.ndarray:
        """(student head, teacher head), rows summing to 1: which heads each head of `layer` is made of.

        The teacher's heads are those of layer `layers[layer]`. What a head does is two products (Elhage et al. 2021, A
        Mathematical Framework for Transformer Circuits): "query-key" decides where it looks, "value-output" what it
        brings from there. Each is a product of two compactors, cut into blocks by the teacher's heads on both sides;
        half of a block's squared norm counts for either head. "both": the mean of the two.
        """
        if part == "both":
            return (self.head_shares(layer, "query-key") + self.head_shares(layer, "value-output")) / 2
        blocks = self.head_blocks(layer, part)
        return normalised((blocks.sum(2) + blocks.sum(1)) / 2)

    def crossed(self, layer: int, part: str) -> np.ndarray:
        """(student head,) 0-1: the share of a product that joins two different heads of the teacher."""
        blocks = self.head_blocks(layer, part)
        return 1 - np.trace(blocks, axis1=1, axis2=2) / np.maximum(blocks.sum((1, 2)), 1e-300)

    def head_blocks(self, layer: int, part: str) -> np.ndarray:
        """(student head, teacher head, teacher head): squared block norms of C_q.T @ C_k, or of R_o @ C_v.

        The first teacher head is the query's (or the output's), the second the key's (or the value's).
        """
        pair = ("query.column", "key.column") if part == "query-key" else ("output.row", "value.column")
        grams = []
        for side in pair:
            blocks = self._oriented(f"attentions.{layer}.{side}").reshape(
                self.student.heads, self.student.head_dim, self.teacher.heads, self.teacher.head_dim
            )
            grams.append(np.einsum("sate,sbte->stab", blocks, blocks))  # squared norm of A.T @ B is <A A.T, B B.T>
        return np.maximum(np.einsum("stab,suab->stu", *grams), 0.0)

    # ---- dims and neurons --------------------------------------------------------------------------------------------

    @property
    def residual_sides(self) -> list[str]:
        """The compactors on the residual stream, in the order of the forward pass."""
        named = ["embeddings.column"]
        for layer in range(self.student.layers):
            named += [f"attentions.{layer}.{name}.row" for name in ("query", "key", "value")]
            named += [f"attentions.{layer}.output.column", f"ffns.{layer}.up.row", f"ffns.{layer}.down.column"]
        return [*named, "head.transform.row"]

    def residual_shares(self, side: str | None = None) -> np.ndarray:
        """(student's hidden, teacher's hidden): what each dim of the stream is made of, on one side or on average."""
        sides = self.residual_sides if side is None else [side]
        return np.mean([self.shares(name) for name in sides], axis=0)

    def ffn_shares(self, layer: int) -> np.ndarray:
        """(student neuron, teacher neuron), the mean of what goes into a neuron and what comes out of it."""
        return (self.shares(f"ffns.{layer}.up.column") + self.shares(f"ffns.{layer}.down.row")) / 2

    # ---- who survived ------------------------------------------------------------------------------------------------

    def overlap(self, kind: str) -> np.ndarray:
        """(layer, layer) Jaccard index of the dims that survived in two layers' groups of `kind`: shared / all."""
        sets = [set(self.dims[f"{kind} {layer}"].tolist()) for layer in range(self.student.layers)]
        return np.array([[len(a & b) / max(1, len(a | b)) for b in sets] for a in sets])

    def overlap_by_chance(self, kind: str) -> tuple[float, float, float]:
        """(2.5%, mean, 97.5%) of the overlap of two layers that chose by lot; whole heads where whole heads went."""
        full = self.teacher.inner if kind == "attention" else self.teacher.ffn
        kept = len(self.dims[f"{kind} 0"])
        unit = self.teacher.head_dim if kind == "attention" and self.whole_heads else 1
        return chance_overlap(kept // unit, full // unit)

    @property
    def whole_heads(self) -> bool:
        """Whether the student lost whole heads rather than dims of every head."""
        return self.student.heads < self.teacher.heads

    def surviving_heads(self, layer: int) -> np.ndarray:
        """(student head,) the teacher's head (from 0) whose dims survived in each head's place."""
        return (self.dims[f"attention {layer}"] // self.teacher.head_dim)[:: self.student.head_dim]


def read_lineage(tensors: Mapping[str, np.ndarray], teacher: Shape, student: Shape, layers: Sequence[int]) -> Lineage:
    """The lineage in `tensors`, as Heir.lineage names them; `layers`: as in Lineage.

    Raises:
        LineageError: a compactor is missing, of another size than the two shapes say, or not of finite numbers.
    """
    matrices = {name: np.asarray(found) for name, found in tensors.items() if not name.startswith("dims.")}
    dims = {name[5:]: np.asarray(found) for name, found in tensors.items() if name.startswith("dims.")}
    found = Lineage(matrices, dims, teacher, student, list(layers))
    if len(layers) != student.layers or any(not 0 <= layer < teacher.layers for layer in layers):
        raise LineageError(
            f"The lineage needs one of the teacher's {teacher.layers} layers for each of the student's "
            f"{student.layers}, got {[layer + 1 for layer in layers]}."
        )
    for name, size in _sizes(found).items():
        held = matrices.get(name) if name in matrices else dims.get(name)
        if held is None:
            raise LineageError(f"The lineage of this student is incomplete: {name} is missing.")
        if held.shape != size:
            raise LineageError(f"The lineage does not fit its student: {name} should be {size}, got {held.shape}.")
        if not np.isfinite(np.asarray(held, np.float64)).all():
            raise LineageError(f"The lineage is damaged: {name} holds numbers that are not finite.")
    return found


def _sizes(lineage: Lineage) -> dict[str, tuple[int, ...]]:
    """What a lineage must hold, and in which sizes."""
    teacher, student = lineage.teacher, lineage.student
    wanted: dict[str, tuple[int, ...]] = {"residual": (student.hidden,)}
    for side in lineage.residual_sides:
        wanted[side] = (student.hidden, teacher.hidden) if side.endswith("column") else (teacher.hidden, student.hidden)
    for layer in range(student.layers):
        for name in ("query", "key", "value"):
            wanted[f"attentions.{layer}.{name}.column"] = (student.inner, teacher.inner)
        wanted[f"attentions.{layer}.output.row"] = (teacher.inner, student.inner)
        wanted[f"ffns.{layer}.up.column"] = (student.ffn, teacher.ffn)
        wanted[f"ffns.{layer}.down.row"] = (teacher.ffn, student.ffn)
        wanted |= {f"attention {layer}": (student.inner,), f"ffn {layer}": (student.ffn,)}
    return wanted


def normalised(weights: np.ndarray) -> np.ndarray:
    """Rows scaled to sum to 1; a row of zeros has no parent and stays zero."""
    total = weights.sum(-1, keepdims=True)
    return weights / np.where(total > 0, total, 1.0)


def entropy(shares: np.ndarray) -> np.ndarray:
    """Shannon's entropy of each row, in bits: 0 for one parent, log2(n) for n equal ones. (..., n) -> (...)."""
    return np.abs(np.sum(shares * np.log2(np.where(shares > 0, shares, 1.0)), axis=-1))


def effective_parents(shares: np.ndarray) -> np.ndarray:
    """2 to the entropy: how many equal parents would have the same entropy. (..., n) -> (...)."""
    return np.exp2(entropy(shares))


def chance_overlap(kept: int, full: int) -> tuple[float, float, float]:
    """(2.5%, mean, 97.5%) of the Jaccard index of two sets of `kept` out of `full`, each drawn by lot.

    Exact: how many they share is hypergeometric.
    """
    shared = range(max(0, 2 * kept - full), kept + 1)
    log = np.array([_log_choose(kept, i) + _log_choose(full - kept, kept - i) for i in shared])
    common = np.array(shared)
    chance = np.exp(log - _log_choose(full, kept))
    index = common / np.maximum(1, 2 * kept - common)
    below = np.cumsum(chance)
    low = index[int(np.searchsorted(below, 0.025))]
    high = index[min(len(index) - 1, int(np.searchsorted(below, 0.975)))]
    return float(low), float(chance @ index), float(high)


def _log_choose(n: int, k: int) -> float:
    return math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)


def coarse(shares: np.ndarray, most: int) -> tuple[np.ndarray, int, int]:
    """Shares (student, teacher) in at most `most` x `most` bins of neighbours, and how many of each are in a bin.

    A cell becomes the share that a bin of teacher's dims has in the average dim of a bin of student's: rows still sum
    to 1.
    """
    tall, wide = (-(-size // most) for size in shares.shape)
    rows = np.add.reduceat(shares, np.arange(0, shares.shape[0], tall), axis=0)
    counts = np.diff(np.append(np.arange(0, shares.shape[0], tall), shares.shape[0]))
    return np.add.reduceat(rows / counts[:, None], np.arange(0, shares.shape[1], wide), axis=1), tall, wide
