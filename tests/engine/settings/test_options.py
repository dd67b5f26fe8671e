"""Options: held to their own limits, and explained."""

import dataclasses
from dataclasses import dataclass

import pytest

from engine.methods.registry import METHODS
from engine.settings.options import option, parse_options, validation_errors
from tests.fixtures.config_problems import problems_of


@dataclass(frozen=True)
class Dials:
    """Options of every kind."""

    rate: float = option(0.5, "A share.", least=0.0, most=1.0)
    count: int = option(3, "A count.", least=1)
    mode: str = option("slow", "A choice.", choices=("slow", "fast"))
    on: bool = option(True, "A switch.")


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ({"rate": 1.01}, "rate must be between 0 and 1, got 1.01"),
        ({"rate": -0.1}, "rate"),
        ({"rate": "0.5"}, "rate must be a number"),
        ({"rate": float("nan")}, "rate"),
        ({"count": 0}, "count must be at least 1, got 0"),
        ({"count": 2.0}, "count must be a whole number"),
        ({"mode": "warp"}, "slow, fast"),
        ({"mode": 1}, "mode must be a word"),
        ({"on": 1}, "true or false"),
        ({"speed": 3}, "no option speed; it has count, mode, on, rate"),
    ],
)
def test_options_are_held_to_their_own_limits(values, word):
    """Harm: a learning rate of a thousand, or a slider's limit that the command line does not know."""
    (problem,) = problems_of(parse_options, Dials, values)
    assert word in problem


def test_good_options_are_taken_as_they_are():
    """Harm: a value on the edge of its range is refused, or replaced by the default."""
    assert parse_options(Dials, {"rate": 1, "count": 10**6, "mode": "fast", "on": False}) == Dials(
        1, 10**6, "fast", False
    )
    assert parse_options(Dials, {}) == Dials()


@pytest.mark.parametrize("name", METHODS)
def test_every_control_explains_itself_and_its_default_is_allowed(name):
    """Harm: a form with a nameless slider, or one that opens outside its own range."""
    kind = METHODS[name].Options
    assert validation_errors(kind()) == []
    for spec in dataclasses.fields(kind):
        assert spec.metadata["help"].endswith((".", "?")), spec.name
        if spec.type in ("int", "float"):
            assert spec.metadata["least"] is not None, spec.name
            assert spec.metadata["most"] is not None, spec.name
        elif spec.type == "str" and spec.metadata["choices"] is not None:  # else it is a text
            assert spec.default in spec.metadata["choices"]
