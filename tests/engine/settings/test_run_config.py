import dataclasses
import json

import pytest

from engine.settings.run_config import RunConfig
from tests.fixtures.builders import new_run, tiny
from tests.fixtures.config_problems import problems_of


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


def test_a_config_from_a_run_folder_is_the_one_that_runs(tmp_path):
    """Harm: the process in the background trains something else than the form said."""
    config = tiny("scratch", steps=3)
    run = new_run(tmp_path, config)
    assert RunConfig.from_json(run.config()) == config
