"""The formula: its terms, computed from what they say, are the parts of the count."""

import re

import pytest
from hypothesis import given, settings

from engine.sizing.cost import parameters, parameters_by_part
from engine.sizing.formula import formula_symbols, formula_terms
from engine.sizing.shape import Shape
from tests.fixtures.shapes import small_shapes


def computed(text: str, numbers: dict[str, int]) -> int:
    """The value of a LaTeX term, by turning it into Python."""
    text = text.replace("{,}", "").replace("\\cdot", "*").replace("^", "**")
    for _ in range(3):  # a factor beside a factor is a product
        text = re.sub(r"(?<=[0-9A-Z)])\s*(?=[A-Z(])", " * ", text)
    text = re.sub(r"[A-Z]", lambda symbol: str(numbers[symbol[0]]), text)
    return eval(text)  # noqa: S307 - made of digits and signs by this file alone


@settings(max_examples=200, deadline=None)
@given(small_shapes())
def test_a_term_is_worth_what_it_says(shape: Shape) -> None:
    """Harm: a formula on the page that gives another number than the one behind its equals sign."""
    numbers = {name: value for name, (_, value) in formula_symbols(shape).items()}
    found = formula_terms(shape)
    assert sum(term.value for term in found) == parameters(shape)
    for term in found:
        assert term.value == parameters_by_part(shape)[term.part]
        assert computed(term.symbols, numbers) == term.value, term
        assert computed(term.numbers, numbers) == term.value, term


def test_bert_base_reads_as_in_a_textbook() -> None:
    """Harm: a term that nobody recognises."""
    found = {term.part: term for term in formula_terms(Shape())}
    assert found["embeddings"].symbols == "(V + P + T)H"
    assert found["attention"].symbols == "L(4H^2 + 4H)"
    assert found["attention"].numbers == "12 \\cdot (4 \\cdot 768^2 + 4 \\cdot 768)"
    assert "pooler" not in found


@pytest.mark.parametrize(
    ("shape", "symbols"),
    [(Shape(), "VPTHFL"), (Shape(embedding=128), "VPTEHFL"), (Shape(sharing="all"), "VPTHFG")]
    + [(Shape(hidden=516, heads=8, head_dim=64), "VPTHAFL"), (Shape(token_types=0), "VPHFL")],
)
def test_only_symbols_that_occur_are_explained(shape: Shape, symbols: str) -> None:
    """Harm: the legend explains E where there is none."""
    assert "".join(formula_symbols(shape)) == symbols
