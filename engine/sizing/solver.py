"""Shapes for a budget, the question backwards: which legal shapes cost about this much?

Parameters, bytes, FLOPs and the latency bound all grow with every size, so the last free size is found by halving an
interval. Knows no torch.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

from engine.sizing.cost import parameters
from engine.sizing.footprint import flops, stored_bytes
from engine.sizing.roofline import Accelerator, roofline_bound
from engine.sizing.shape import LARGEST_NUMBER, Shape, ShapeError

BUDGET_KINDS = ("parameters", "bytes", "flops", "latency")
KEEPABLE_FIELDS = {  # what can be kept -> in words
    "layers": "layers",
    "hidden": "width",
    "heads": "number of heads",
    "head_dim": "head size",
    "ffn": "FFN, as a multiple of the width",
    "embedding": "embedding size",
    "vocab": "vocabulary",
}
DEFAULT_KEPT = ("layers", "ffn", "embedding", "vocab")
RATIOS = (1.0, 2.0, 4.0)  # FFN over width, where it is free
EMBEDDINGS = (64, 128, 256)
VOCABULARIES = (16_000,)  # beside the own one, where it is free
MAX_LAYERS = 24
CLOSE_ENOUGH = 0.01  # costs within a hundredth of the budget of one another count as equally close


@dataclass(frozen=True)
class SizeBudget:
    """How much of what. A latency is the roofline bound of one sequence on `accelerator`."""

    kind: str
    amount: float
    precision: str = "float32"  # of bytes and latency
    tokens: int = 128  # of a sequence, for FLOPs and latency
    accelerator: Accelerator | None = None

    def __post_init__(self) -> None:
        if self.kind not in BUDGET_KINDS:
            raise ValueError(f"A budget is one of {', '.join(BUDGET_KINDS)}, got {self.kind!r}.")
        if not (self.amount > 0 and math.isfinite(self.amount)):
            raise ValueError(f"A budget must be above 0, got {self.amount:g}.")
        if self.kind == "latency" and self.accelerator is None:
            raise ValueError("A latency bound needs a device; choose one.")

    def cost(self, shape: Shape) -> float:
        """What `shape` costs, in the budget's unit.

        Raises:
            ValueError: the shape has fewer positions than the budget's tokens.
        """
        if self.kind == "parameters":
            return parameters(shape)
        if self.kind == "bytes":
            return stored_bytes(shape, self.precision)
        if self.kind == "flops":
            return flops(shape, self.tokens)
        assert self.accelerator is not None
        return roofline_bound(shape, self.accelerator, self.tokens, 1, self.precision).seconds


@dataclass(frozen=True)
class Solution:
    """A shape and what it costs."""

    shape: Shape
    cost: float
    relative_error: float  # (cost - budget) / budget


def find_shapes(
    base: Shape, budget: SizeBudget, keep: tuple[str, ...] = DEFAULT_KEPT, most: int = 12
) -> list[Solution]:
    """Legal shapes whose cost is closest to the budget, best first; what is in `keep` stays as in `base`.

    Closest means in whole hundredths of the budget; among equally close ones the shape most like `base` comes first.

    Raises:
        ValueError: a name in `keep` cannot be kept, everything is kept, or no shape is within reach.
    """
    unknown = [name for name in keep if name not in KEEPABLE_FIELDS]
    if unknown:
        raise ValueError(f"{unknown[0][:40]!r} cannot be kept; choose from {', '.join(KEEPABLE_FIELDS)}.")
    if set(KEEPABLE_FIELDS) <= set(keep):
        raise ValueError("Everything is kept, so there is nothing to look for; let the width or the layers go.")
    seen: dict[Shape, Solution] = {}
    reached = 0  # the last answer; the next ladder's is probably near
    for step, make, highest in _ladders(base, frozenset(keep)):
        last = _largest(make, highest, budget, reached // step)
        reached = last * step
        for shape in _neighbours(make, highest, last):
            cost = budget.cost(shape)
            seen.setdefault(shape, Solution(shape, cost, (cost - budget.amount) / budget.amount))
    if not seen:
        raise ValueError("No legal shape is left; let more go free.")

    def rank(found: Solution) -> tuple[int, float, float]:
        off = abs(found.relative_error)
        return int(off / CLOSE_ENOUGH), _distance(base, found.shape), off

    order = sorted(seen.values(), key=rank)
    best = abs(order[0].relative_error)
    reach = max(0.25, 2 * best)  # nobody looks for shapes that are twice as far off as the best one
    return [one for one in order if abs(one.relative_error) <= reach][:most]


def widest_by_depth(
    base: Shape, budget: SizeBudget, keep: tuple[str, ...] = DEFAULT_KEPT, deepest: int = MAX_LAYERS
) -> list[Solution]:
    """For every depth the widest shape within the budget: the edge of what is possible. Depths may be missing."""
    found = []
    for layers in range(1, deepest + 1):
        widest: Solution | None = None
        for _, make, highest in _widths(base, frozenset(keep) - {"hidden"}, layers):
            count = _largest(make, highest, budget)
            shape = make(count) if count else None
            if shape is not None and (widest is None or shape.hidden > widest.shape.hidden):
                cost = budget.cost(shape)
                widest = Solution(shape, cost, (cost - budget.amount) / budget.amount)
        found += [widest] if widest else []
    return found


ShapeMaker = Callable[[int], Shape | None]


def _ladders(base: Shape, keep: frozenset[str]) -> Iterator[tuple[int, ShapeMaker, int]]:
    """(size of a step, n -> shape, largest n): ladders of shapes, each step dearer; together all that is legal."""
    depths = [base.layers] if "layers" in keep else sorted({*range(1, MAX_LAYERS + 1), base.layers})
    if "hidden" not in keep:
        ratios: list[float | None] = [None] if "ffn" in keep else list(RATIOS)
        tables: list[int | None] = [None] if "embedding" in keep else [0, *EMBEDDINGS]
        words = [base.vocab] if "vocab" in keep else sorted({*VOCABULARIES, base.vocab})
        for layers, ratio, embedding, vocab in product(depths, ratios, tables, words):
            yield from _widths(base, keep, layers, ratio, embedding, vocab)
        return
    for layers in depths:
        base_at_depth = _changed(base, layers=layers, groups=min(base.groups, layers))
        if "ffn" not in keep:
            unit = 64 if base.hidden % 64 == 0 else 4
            yield unit, partial(_stepped, base_at_depth, "ffn", unit), LARGEST_NUMBER // unit
        elif "vocab" not in keep:
            yield 100, partial(_stepped, base_at_depth, "vocab", 100), LARGEST_NUMBER // 100
        elif "embedding" not in keep:
            yield 8, partial(_stepped, base_at_depth, "embedding", 8), max(1, base.hidden // 8)
        else:
            yield 1, partial(_stepped, base_at_depth, "layers", layers), 1


def _stepped(base: Shape | None, name: str, unit: int, n: int) -> Shape | None:
    """`base` with `name` n units large."""
    return None if base is None else _changed(base, **{name: unit * n})


def _widths(
    base: Shape,
    keep: frozenset[str],
    layers: int,
    ratio: float | None = None,
    embedding: int | None = None,
    vocab: int | None = None,
) -> Iterator[tuple[int, ShapeMaker, int]]:
    """(step of the width, n -> shape n steps wide, largest n): widths of whole heads, or of equally narrow ones."""
    steps = []
    if "heads" in keep and "head_dim" in keep:
        steps.append((base.heads * base.head_dim if base.inner == base.hidden else 1, "both"))
    else:
        steps += [] if "head_dim" in keep else [(base.heads, "heads")]
        steps += [] if "heads" in keep else [(base.head_dim, "head_dim")]
    times = base.ffn / base.hidden if ratio is None else ratio
    own_table = base.embedding != base.hidden or base.family == "albert"

    def make(step: int, kind: str, n: int) -> Shape | None:
        width = n * step
        if kind == "both":  # the heads stay as they are, whatever the width
            heads, head_dim = base.heads, base.head_dim
            width = n
        else:
            heads = base.heads if kind == "heads" else n
            head_dim = n if kind == "heads" else base.head_dim
        table = (base.embedding if own_table else width) if embedding is None else (embedding or width)
        if embedding and embedding >= width:
            return None
        return _changed(
            base,
            layers=layers,
            groups=min(base.groups, layers),
            hidden=width,
            heads=heads,
            head_dim=head_dim,
            ffn=max(1, round(times * width)),
            embedding=table,
            vocab=vocab or base.vocab,
        )

    for step, kind in steps:
        real = 1 if kind == "both" else step
        yield real, partial(make, step, kind), int(LARGEST_NUMBER / max(1.0, times)) // real


def _changed(base: Shape, **changes: int) -> Shape | None:
    try:
        return Shape(**{**vars(base), **changes})
    except ShapeError:
        return None


def _affordable(make: ShapeMaker, n: int, budget: SizeBudget) -> bool:
    """Whether step n costs at most the budget; steps that are too small to be legal cost nothing."""
    shape = make(n)
    return shape is None or budget.cost(shape) <= budget.amount


def _largest(make: ShapeMaker, highest: int, budget: SizeBudget, guess: int = 0) -> int:
    """The last affordable step of a ladder, 0 if the first is too dear already; the search begins at `guess`."""
    low, high = 0, highest + 1
    near, reach = min(max(1, guess), highest), max(1, guess // 16)
    while low < near < high:
        if _affordable(make, near, budget):
            low, near = near, near + reach
        else:
            high, near = near, near - reach
        reach *= 2
        if low and high <= highest:
            break
    while high - low > 1:
        middle = (low + high) // 2
        if _affordable(make, middle, budget):
            low = middle
        else:
            high = middle
    return low


def _neighbours(make: ShapeMaker, highest: int, last: int) -> Iterator[Shape]:
    """The legal shapes on either side of the budget, `last` being the last affordable step."""
    for n in (last, last + 1):
        shape = make(n) if 1 <= n <= highest else None
        if shape is not None:
            yield shape


def _distance(base: Shape, shape: Shape) -> float:
    """How far two shapes are from one another: differences of logarithms, heads and head size counting a quarter."""
    total = 0.0
    for name in ("layers", "hidden", "embedding", "vocab"):
        total += abs(math.log(getattr(shape, name) / getattr(base, name)))
    total += abs(math.log((shape.ffn / shape.hidden) / (base.ffn / base.hidden)))
    return total + 0.25 * sum(abs(math.log(getattr(shape, n) / getattr(base, n))) for n in ("heads", "head_dim"))
