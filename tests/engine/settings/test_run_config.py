import dataclasses
import json
from dataclasses import dataclass

import pytest

from engine.methods.registry import METHODS
from engine.settings.options import ConfigError, option, parse_options, validation_errors
from engine.settings.run_config import RunConfig


@dataclass(frozen=True)
class Dials:
    """Options of every kind."""

    rate: float = option(0.5, "A share.", least=0.0, most=1.0)
    count: int = option(3, "A count.", least=1)
    mode: str = option("slow", "A choice.", choices=("slow", "fast"))
    on: bool = option(True, "A switch.")


def problems_of(build, *args, **kwargs):
    """The problems of the ConfigError that `build` raises; each is one line."""
    with pytest.raises(ConfigError) as caught:
        build(*args, **kwargs)
    assert all("\n" not in problem and problem.endswith(".") for problem in caught.value.problems)
    return caught.value.problems


def test_a_config_survives_json():
    """Harm: a run that is resumed, or repeated from its card, is another run."""
    config = RunConfig(teacher="blank", student={"hidden": 64}, options={"lr": 0.1}, steps=7, parent="a")
    assert RunConfig.from_json(json.loads(json.dumps(config.to_json()))) == config
    assert set(config.to_json()) == {spec.name for spec in dataclasses.fields(RunConfig)}


def test_all_problems_are_told_at_once():
    """Harm: a person corrects one field, starts again, and meets the next complaint."""
    problems = problems_of(RunConfig, steps=-1, batch=0, length="long", warmup=2.0, device="tpu", student=[1])
    assert len(problems) == 6
    for name in ("steps", "batch", "length", "warmup", "device", "student"):
        assert sum(problem.startswith(f"{name} must be") for problem in problems) == 1


NUMBERS = [
    "steps",
    "batch",
    "accumulate",
    "processes",
    "length",
    "seed",
    "warmup",
    "clip",
    "evaluations",
    "checkpoints",
]


def test_a_batch_is_not_split_into_more_parts_than_it_has_sequences():
    """Harm: a process that has nothing to learn from and waits for ever, or divides by zero."""
    assert RunConfig(batch=6, accumulate=2, processes=3).accumulate == 2
    (problem,) = problems_of(RunConfig, batch=6, accumulate=3, processes=3)
    assert problem.startswith("accumulate times processes must be at most the batch of 6,")
    assert problem.endswith("got 3 x 3.")


@pytest.mark.parametrize("name", NUMBERS)
@pytest.mark.parametrize("value", ["64", None, True, [64], float("nan"), float("inf"), "rm -rf"])
def test_what_is_no_number_is_refused_where_a_number_belongs(name, value):
    """Harm: JSON from a form or a link puts text into arithmetic, hours into the run."""
    assert len(problems_of(RunConfig, **{name: value})) == 1


def test_a_fraction_is_no_whole_number_but_a_whole_number_is_a_fraction():
    """Harm: half a step; or a form that refuses 1 where it means 1.0."""
    assert problems_of(RunConfig, steps=2.5)
    assert problems_of(RunConfig, steps=64.0)
    assert RunConfig(warmup=0, clip=2).clip == 2


@pytest.mark.parametrize(("name", "value"), [("teacher", 3), ("method", None), ("corpus", ["a"]), ("parent", 0)])
def test_what_is_no_word_is_refused_where_a_word_belongs(name, value):
    """Harm: a traceback from a file name that is a number."""
    assert len(problems_of(RunConfig, **{name: value})) == 1


def test_unknown_settings_are_named():
    """Harm: a misspelt setting is ignored, and the run is not the one that was asked for."""
    (problem,) = problems_of(RunConfig.from_json, {"steps": 5, "step": 6})
    assert "step;" in problem
    assert "steps" in problem


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
