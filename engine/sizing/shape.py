"""Shape: the architecture of a BERT-family encoder as numbers, and the one word for a model without its weights.

Knows which numbers fit together and says so. Knows nothing of weights, costs or torch.
"""

from __future__ import annotations

import dataclasses
import operator
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

FAMILIES = ("bert", "albert")
SHARINGS = ("none", "attention", "ffn", "all")
DERIVED_FIELDS = ("head_dim", "ffn", "embedding")  # may be given as None, and then follow from the other numbers
_DERIVED: Any = None
COMPRESSION_FIELDS = ("layer_heads", "layer_ffn", "rank", "linear_bits", "table_bits")  # only compressions set these
BITS = (8, 32)
ACTIVATIONS = ("gelu", "gelu_new", "relu")
NORM_EPS = 1e-12  # BERT's and ALBERT's
LARGEST_NUMBER = 10**9  # no single number of an encoder comes near this; larger ones are slips of the keyboard


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
    norm_eps: float = NORM_EPS  # what LayerNorms add to the variance
    layer_heads: tuple[int, ...] = ()  # of each layer where they differ, `heads` being the most; empty: `heads` in all
    layer_ffn: tuple[int, ...] = ()  # of each layer where they differ, `ffn` being the most; empty: `ffn` in all
    rank: int = 0  # linears of the layers are products of two factors of this rank, where that saves; 0: all are whole
    linear_bits: int = 32  # 8: weights of linears are int8, each row with a float32 scale
    table_bits: int = 32  # 8: the word table is, too, and with it a tied decoder

    def __post_init__(self) -> None:
        problems = _wrong_types(self)
        if not problems:
            derived = {name for name in DERIVED_FIELDS if getattr(self, name) is None}
            _derive(self)
            problems = _check_sizes(self, derived)
            if _compression_values(self) != _PLAIN:
                problems += _check_compressions(self)
        if problems:
            raise ShapeError(problems)

    @property
    def inner(self) -> int:
        """Width of queries, keys and values: heads x head_dim; of the widest layer, where they differ."""
        return self.heads * self.head_dim

    def heads_of(self, layer: int) -> int:
        """Heads of `layer` (0-based)."""
        return self.layer_heads[layer] if self.layer_heads else self.heads

    def inner_of(self, layer: int) -> int:
        """Width of the queries, keys and values of `layer` (0-based)."""
        return self.heads_of(layer) * self.head_dim

    def ffn_of(self, layer: int) -> int:
        """FFN width of `layer` (0-based)."""
        return self.layer_ffn[layer] if self.layer_ffn else self.ffn

    def rank_of(self, wide: int, out: int) -> int:
        """The rank of a layer's linear from `wide` to `out` dims; 0: it is whole, for two factors save nothing."""
        return self.rank if 0 < self.rank * (wide + out) < wide * out else 0

    @property
    def uneven(self) -> bool:
        """True when layers differ in their heads or their FFN's width."""
        return bool(self.layer_heads or self.layer_ffn)

    @property
    def compressions(self) -> list[str]:
        """What one-shot compressions have left behind, in words; empty for an ordinary model."""
        found = {
            "different numbers of heads in its layers": self.layer_heads,
            "FFNs of different widths in its layers": self.layer_ffn,
            f"linears of two factors of rank {self.rank:,}": self.rank,
            "int8 weights": self.linear_bits == 8 or self.table_bits == 8,
        }
        return [words for words, there in found.items() if there]

    def plain(self) -> Shape:
        """The ordinary shape of the same sizes: every layer alike, whole linears, float32."""
        return (
            self
            if _compression_values(self) == _PLAIN
            else Shape(**{**vars(self), **dict(zip(COMPRESSION_FIELDS, _PLAIN, strict=True))})
        )

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

    def owners(self, part: str) -> list[int]:
        """The layers (0-based) that have a `part` ("attention" or "ffn") of their own: the first of each group."""
        if not self.shares(part):
            return list(range(self.layers))
        return sorted({self.group_of(layer): layer for layer in reversed(range(self.layers))}.values())

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
        """Every field as a plain JSON value; the usual epsilon is left out, as it was before there was another one."""
        fields = {**vars(self), "layer_heads": list(self.layer_heads), "layer_ffn": list(self.layer_ffn)}
        if self.norm_eps == NORM_EPS:
            del fields["norm_eps"]
        return fields

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
        heads = _span(self.layer_heads) or str(self.heads)
        words = [f"{self.layers} x {self.hidden}", f"{heads} heads x {self.head_dim}"]
        words += [f"FFN {_span(self.layer_ffn) or self.ffn}"]
        words += [f"rank {self.rank}"] if self.rank else []
        return ", ".join([*words, "int8"] if 8 in (self.linear_bits, self.table_bits) else words)


def nearest_multiple(count: int, near: int) -> int:
    """The multiple of `count`, at least itself, that is nearest to `near`; of two equally near ones the smaller."""
    below = max(1, near // count) * count
    return below + count if abs(below + count - near) < abs(below - near) else below


def nearest_divisors(number: int, wanted: int) -> list[int]:
    """The divisors of `number` on either side of `wanted`, nearest first (at most two)."""
    number = max(1, min(number, LARGEST_NUMBER))
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
        elif kind == "float" and (isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1):
            problems.append(f"{name} must be a number between 0 and 1, got {_show(value)}.")
        elif kind == "int":
            missing = value is None and name in DERIVED_FIELDS
            if not missing and (isinstance(value, bool) or not isinstance(value, int)):
                problems.append(f"{name} must be a whole number, got {_show(value)}.")
    return problems


_KINDS = tuple(  # a search makes thousands of shapes, and what it looks for has no outcomes
    (spec.name, str(spec.type)) for spec in dataclasses.fields(Shape) if spec.name not in COMPRESSION_FIELDS
)
_compression_values = operator.attrgetter(*COMPRESSION_FIELDS)
_PLAIN: tuple[Any, ...] = tuple(spec.default for spec in dataclasses.fields(Shape) if spec.name in COMPRESSION_FIELDS)


def _span(numbers: tuple[int, ...]) -> str:
    return f"{min(numbers)} to {max(numbers)}" if numbers else ""


def _check_compressions(shape: Shape) -> list[str]:
    """What is wrong with the OUTCOMES of a shape; lists become tuples, those of one number over and over go."""
    problems = []
    for name, most, part in (("layer_heads", shape.heads, "attention"), ("layer_ffn", shape.ffn, "ffn")):
        value = getattr(shape, name)
        if not isinstance(value, list | tuple) or not all(type(number) is int for number in value):
            problems.append(f"{name} must be a list of whole numbers, one a layer, got {_show(value)}.")
        elif value and len(value) != shape.layers:
            problems.append(f"{name} must have a number for each of {_show(shape.layers)} layers, got {len(value):,}.")
        elif value and (min(value) < 1 or max(value) != most):
            problems.append(
                f"{name} must lie between 1 and the shape's {part.replace('attention', 'heads')} of {_show(most)} and "
                f"reach it, got {_show(min(value))} to {_show(max(value))}."
            )
        elif value and len(set(value)) > 1 and not problems and _differ_in_a_group(shape, part, value):
            problems.append(f"{name} must be the same in all layers that share their {part}.")
        else:
            object.__setattr__(shape, name, tuple(value) if len(set(value)) > 1 else ())
    if type(shape.rank) is not int or not 0 <= shape.rank <= LARGEST_NUMBER:
        problems.append(f"rank must be a whole number between 0 and {LARGEST_NUMBER:,}, got {_show(shape.rank)}.")
    for name in ("linear_bits", "table_bits"):
        if type(getattr(shape, name)) is not int or getattr(shape, name) not in BITS:
            problems.append(f"{name} must be one of 8, 32, got {_show(getattr(shape, name))}.")
    return problems


def _differ_in_a_group(shape: Shape, part: str, numbers: Sequence[int]) -> bool:
    if not shape.shares(part) or not 1 <= shape.groups <= shape.layers:
        return False
    return len({(shape.group_of(layer), number) for layer, number in enumerate(numbers)}) > shape.groups


def _derive(shape: Shape) -> None:
    """Fills what was left at None; a frozen dataclass needs object.__setattr__ for that."""
    if shape.head_dim is None:
        object.__setattr__(shape, "head_dim", shape.hidden // shape.heads if shape.heads > 0 else 0)
    if shape.ffn is None:
        object.__setattr__(shape, "ffn", 4 * shape.hidden)
    if shape.embedding is None:
        object.__setattr__(shape, "embedding", shape.hidden)


def _check_sizes(shape: Shape, derived: set[str]) -> list[str]:
    problems, even_heads = [], "head_dim" in derived
    wide = 1 <= shape.hidden <= LARGEST_NUMBER
    least = dict.fromkeys(("layers", "hidden", "heads", "ffn", "vocab", "positions", "embedding", "groups"), 1)
    least["token_types"] = 0
    for name, low in least.items():
        value = getattr(shape, name)
        follows = name in derived and not wide  # a wrong hidden is one mistake, not three
        if not low <= value <= LARGEST_NUMBER and not follows:
            problems.append(f"{name} must be between {low} and {LARGEST_NUMBER:,}, got {_show(value)}.")
    if even_heads and wide and 1 <= shape.heads <= LARGEST_NUMBER and shape.hidden % shape.heads:
        near = " or ".join(str(d) for d in nearest_divisors(shape.hidden, shape.heads))
        width = shape.hidden - shape.hidden % shape.heads or shape.heads
        problems.append(
            f"hidden {shape.hidden} does not divide into {shape.heads} heads, and every head needs the same "
            f"whole number of dims; use {near} heads, or hidden {width}."
        )
    elif not even_heads and not 1 <= (shape.head_dim or 0) <= LARGEST_NUMBER:
        problems.append(f"head_dim must be between 1 and {LARGEST_NUMBER:,}, got {_show(shape.head_dim)}.")
    choices = {"family": FAMILIES, "sharing": SHARINGS, "activation": ACTIVATIONS}
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
