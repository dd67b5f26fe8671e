"""Shape: the architecture of a BERT-family encoder as numbers.

Knows which numbers fit together and says so. Knows nothing of weights, costs or torch.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

FAMILIES = ("bert", "albert")
SHARINGS = ("none", "attention", "ffn", "all")
DERIVED = ("head_dim", "ffn", "embedding")  # may be given as None, and then follow from the other numbers
_DERIVED: Any = None
LARGEST = 10**9  # no single number of an encoder comes near this; larger ones are slips of the keyboard


class ShapeError(ValueError):
    """A shape that cannot be built. `problems` lists every reason, one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(" ".join(problems))


@dataclass(frozen=True)
class Shape:
    """The architecture of one model.

    Fields left at None are derived: `head_dim` = hidden / heads, `ffn` = 4 x hidden, `embedding` = hidden.

    Raises:
        ShapeError: the numbers do not fit together; all reasons are listed at once.
    """

    layers: int = 12
    hidden: int = 768  # width of the residual stream
    heads: int = 12
    head_dim: int = _DERIVED  # heads x head_dim may differ from hidden (a student that lost whole heads)
    ffn: int = _DERIVED
    vocab: int = 30522
    positions: int = 512
    token_types: int = 2  # 0: no token types (DistilBERT)
    embedding: int = _DERIVED  # below hidden: factorised embeddings, ALBERT section 3.1
    family: str = "bert"
    sharing: str = "none"  # what layers of one group share, ALBERT section 3.1
    groups: int = 1  # layers are cut into this many groups; each shares within itself
    pooler: bool = False
    mlm_head: bool = True
    pair_head: bool = False  # two-way classifier on the pooler: next sentence or sentence order
    tied: bool = True  # the masked-LM decoder is the embedding table
    activation: str = "gelu"

    def __post_init__(self) -> None:
        problems = _wrong_types(self)
        if not problems:
            derived = {name for name in DERIVED if getattr(self, name) is None}
            _derive(self)
            problems = _misfits(self, derived)
        if problems:
            raise ShapeError(problems)

    @property
    def inner(self) -> int:
        """Width of queries, keys and values: heads x head_dim."""
        return self.heads * self.head_dim

    @property
    def factorised(self) -> bool:
        """True when a projection stands between the embedding table and the first layer."""
        return self.family == "albert" or self.embedding != self.hidden

    def group_of(self, layer: int) -> int:
        """The sharing group of `layer` (0-based): groups of equal size, the library's rule for uneven ones."""
        return int(layer / (self.layers / self.groups))

    def shares(self, part: str) -> bool:
        """True when the layers of one group share their `part` ("attention" or "ffn")."""
        return self.sharing in (part, "all")

    def replace(self, **changes: Any) -> Shape:
        """A copy with `changes`; derived fields follow unless they were set to something of their own.

        Raises:
            ShapeError: as the constructor.
        """
        keep = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        if self.inner == self.hidden:
            keep["head_dim"] = None
        if self.ffn == 4 * self.hidden:
            keep["ffn"] = None
        if self.embedding == self.hidden:
            keep["embedding"] = None
        unknown = sorted(set(changes) - set(keep))
        if unknown:
            raise ShapeError([f"A shape has no field {', '.join(unknown)}; it has {', '.join(keep)}."])
        return Shape(**{**keep, **changes})

    def to_json(self) -> dict[str, Any]:
        """Every field as a plain JSON value."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Shape:
        """The shape that `to_json` wrote.

        Raises:
            ShapeError: a field is unknown or wrong.
        """
        known = {f.name for f in dataclasses.fields(Shape)}
        if not isinstance(data, dict) or set(data) - known:
            extra = sorted(map(_show, set(data) - known)) if isinstance(data, dict) else [type(data).__name__]
            raise ShapeError([f"A shape needs fields among {', '.join(sorted(known))}; got {', '.join(extra)}."])
        return Shape(**data)

    def __str__(self) -> str:
        """The field's usual short form, such as `12 x 768, 12 heads`."""
        return f"{self.layers} x {self.hidden}, {self.heads} heads x {self.head_dim}, FFN {self.ffn}"


def nearest_multiple(count: int, near: int) -> int:
    """The multiple of `count`, at least itself, that is nearest to `near`; of two equally near ones the smaller."""
    below = max(1, near // count) * count
    return below + count if abs(below + count - near) < abs(below - near) else below


def nearest_divisors(number: int, wanted: int) -> list[int]:
    """The divisors of `number` on either side of `wanted`, nearest first (at most two)."""
    number = max(1, min(number, LARGEST))
    small = [d for d in range(1, int(number**0.5) + 1) if number % d == 0]
    divisors = sorted({*small, *(number // d for d in small)})
    below = [d for d in divisors if d <= wanted][-1:]
    above = [d for d in divisors if d > wanted][:1]
    return sorted(below + above, key=lambda d: abs(d - wanted))


def _show(value: object) -> str:
    """`value` for a message: short, and never failing (Python refuses to print integers of thousands of digits)."""
    try:
        text = f"{value:,}" if isinstance(value, int) and not isinstance(value, bool) else repr(value)
    except ValueError:
        text = "a number of thousands of digits"
    return text if len(text) <= 60 else f"{text[:57]}..."


def _wrong_types(shape: Shape) -> list[str]:
    problems = []
    for name, kind in _KINDS:
        value = getattr(shape, name)
        if kind == "bool" and not isinstance(value, bool):
            problems.append(f"{name} must be true or false, got {_show(value)}.")
        elif kind == "str" and not isinstance(value, str):
            problems.append(f"{name} must be a word, got {_show(value)}.")
        elif kind == "int":
            missing = value is None and name in DERIVED
            if not missing and (isinstance(value, bool) or not isinstance(value, int)):
                problems.append(f"{name} must be a whole number, got {_show(value)}.")
    return problems


_KINDS = tuple((spec.name, str(spec.type)) for spec in dataclasses.fields(Shape))  # a search makes thousands of shapes


def _derive(shape: Shape) -> None:
    """Fills what was left at None; a frozen dataclass needs object.__setattr__ for that."""
    if shape.head_dim is None:
        object.__setattr__(shape, "head_dim", shape.hidden // shape.heads if shape.heads > 0 else 0)
    if shape.ffn is None:
        object.__setattr__(shape, "ffn", 4 * shape.hidden)
    if shape.embedding is None:
        object.__setattr__(shape, "embedding", shape.hidden)


def _misfits(shape: Shape, derived: set[str]) -> list[str]:
    problems, even_heads = [], "head_dim" in derived
    wide = 1 <= shape.hidden <= LARGEST
    least = dict.fromkeys(("layers", "hidden", "heads", "ffn", "vocab", "positions", "embedding", "groups"), 1)
    least["token_types"] = 0
    for name, low in least.items():
        value = getattr(shape, name)
        if not low <= value <= LARGEST and (wide or name not in derived):  # a wrong hidden is one mistake, not three
            problems.append(f"{name} must be between {low} and {LARGEST:,}, got {_show(value)}.")
    if even_heads and wide and 1 <= shape.heads <= LARGEST and shape.hidden % shape.heads:
        near = " or ".join(str(d) for d in nearest_divisors(shape.hidden, shape.heads))
        width = shape.hidden - shape.hidden % shape.heads or shape.heads
        problems.append(
            f"hidden {shape.hidden} does not divide into {shape.heads} heads, and every head needs the same "
            f"whole number of dims; use {near} heads, or hidden {width}."
        )
    elif not even_heads and not 1 <= (shape.head_dim or 0) <= LARGEST:
        problems.append(f"head_dim must be between 1 and {LARGEST:,}, got {_show(shape.head_dim)}.")
    choices = {"family": FAMILIES, "sharing": SHARINGS, "activation": ("gelu", "gelu_new")}
    for name, allowed in choices.items():
        if getattr(shape, name) not in allowed:
            problems.append(f"{name} must be one of {', '.join(allowed)}, got {_show(getattr(shape, name))}.")
    if 1 <= shape.layers < shape.groups:
        problems.append(
            f"groups must not exceed the {_show(shape.layers)} layers that it cuts up, got {_show(shape.groups)}."
        )
    if shape.pair_head and not shape.pooler:
        problems.append("pair_head needs the pooler, because it reads the pooled [CLS] state; switch the pooler on.")
    return problems
