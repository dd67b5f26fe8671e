"""The parameter count as a formula: its terms in symbols and with the numbers put in, each belonging to one part.

Knows LaTeX, nothing of pages or colours.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.sizing.cost import parameters_by_part
from engine.sizing.shape import Shape, ShapeError
from engine.sizing.tensors import PARTS

SYMBOLS = {
    "V": "words in the vocabulary",
    "P": "positions",
    "T": "token types",
    "E": "embedding size",
    "H": "hidden size",
    "A": "heads x head size",
    "F": "FFN size",
    "L": "layers",
    "G": "groups of layers that share",
}


@dataclass(frozen=True)
class Term:
    """What one part adds to the count."""

    part: str  # one of engine.sizing.tensors.PARTS
    symbols: str  # LaTeX
    numbers: str  # LaTeX, with the numbers put in
    value: int


def formula_terms(shape: Shape) -> list[Term]:
    """The terms of `cost.parameters`, one a part, those that add nothing left out; their values sum to it.

    Raises:
        ShapeError: layers differ, or linears are factorised; no short formula holds.
    """
    if shape.uneven or shape.rank:
        raise ShapeError([f"There is no short formula for a model with {' and '.join(shape.compressions)}."])
    values = parameters_by_part(shape)
    found = {part: _term(shape, part) for part in PARTS}
    numbers = {"V": shape.vocab, "P": shape.positions, "T": shape.token_types, "E": shape.embedding}
    numbers |= {"H": shape.hidden, "A": shape.inner, "F": shape.ffn, "L": shape.layers, "G": shape.groups}
    return [Term(part, found[part], _put_in(found[part], numbers), values[part]) for part in PARTS if values[part]]


def formula_symbols(shape: Shape) -> dict[str, tuple[str, int]]:
    """symbol -> (what it stands for, its number), those that occur in the formula of `shape`."""
    text = " ".join(_term(shape, part) for part in PARTS)
    numbers = {"V": shape.vocab, "P": shape.positions, "T": shape.token_types, "E": shape.embedding}
    numbers |= {"H": shape.hidden, "A": shape.inner, "F": shape.ffn, "L": shape.layers, "G": shape.groups}
    return {name: (SYMBOLS[name], numbers[name]) for name in SYMBOLS if name in text}


def _term(shape: Shape, part: str) -> str:
    """One part's term in LaTeX; E stands apart from H, and A from H, only where they differ."""
    e = "E" if shape.factorised else "H"
    a = "A" if shape.inner != shape.hidden else "H"
    attention, ffn = ("G" if shape.shares(each) else "L" for each in ("attention", "ffn"))
    squares = "4H^2 + 4H" if a == "H" else "4HA + 3A + H"
    if part == "embeddings":
        rows = "(V + P + T)" if shape.token_types else "(V + P)"
        return f"{rows}{e}" + (" + EH + H" if shape.factorised else "")
    if part == "attention":
        return f"{attention}({squares})"
    if part == "ffn":
        return f"{ffn}(2HF + F + H)"
    if part == "layer norms":
        both = f"{attention} \\cdot 4H" if attention == ffn else f"{attention} \\cdot 2H + {ffn} \\cdot 2H"
        return f"2{e} + {both}" + (f" + 2{e}" if shape.mlm_head else "")
    if part == "pooler":
        return "H^2 + H" if shape.pooler else ""
    pieces = []
    if shape.mlm_head:
        pieces.append("HE + E + V" if e == "E" else "H^2 + H + V")
        pieces += [] if shape.tied else [f"V{e}"]
    if shape.pair_head:
        pieces.append("2H + 2")
    return " + ".join(pieces)


def _put_in(term: str, numbers: dict[str, int]) -> str:
    """`term` with numbers for its symbols: products get a dot, thousands a comma."""
    pieces, last = [], ""
    rest = term.replace("\\cdot", "*")
    for sign in rest:
        if sign == " ":
            pieces.append(" ")
            continue
        factor = sign in numbers or sign == "(" or sign.isdigit()
        if factor and (last in numbers or last == ")" or last.isdigit()) and not (sign.isdigit() and last.isdigit()):
            pieces.append(" \\cdot ")
        pieces.append(f"{numbers[sign]:,}".replace(",", "{,}") if sign in numbers else sign.replace("*", "\\cdot"))
        last = "" if last == "^" else sign  # an exponent is no factor
    return "".join(pieces)
