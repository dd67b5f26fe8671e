"""Outcomes: the shipped ones are whole and true, and no file from a stranger breaks a page."""

import json
import re

import pytest

from engine.cli.recipe import GRIDS
from engine.experiments.outcome import (
    OutcomeError,
    differences_from_base,
    list_outcomes,
    read_outcome,
    summarise,
    write_outcome,
)
from engine.experiments.recipes import RECIPES, find_recipe
from engine.learning.intervals import mean_interval
from engine.settings.project import EXPERIMENTS
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from engine.teachers.catalog import teacher_card
from engine.training.plan import plan
from tests.fixtures.outcomes import outcome, row

pytestmark = pytest.mark.usefixtures("english_at_hand")

SHIPPED_FILES = sorted(EXPERIMENTS.glob("*.json"))
RECIPE_OF = {
    path: name for path in SHIPPED_FILES for name in RECIPES if re.fullmatch(rf"{name}(-[0-9a-f]{{6}})?", path.stem)
}
SCORED = [*RECIPE_OF]


def test_there_is_one_shipped_outcome_for_each_grid():
    """Harm: the page offers an experiment that nobody can run again, or the README one that was never run."""
    assert {path.stem for path in SHIPPED_FILES if path not in SCORED} == set(GRIDS)


@pytest.mark.parametrize("path", SCORED, ids=lambda path: path.stem)
def test_shipped_scores_on_tasks_are_complete_and_true(path):
    """Harm: a shipped score without its seeds or its null, or one of an experiment that cannot be run."""
    found = read_outcome(path)
    recipe = find_recipe(RECIPE_OF[path])
    assert found.complete
    assert [one.name for one in found.rows] == ["teacher", *recipe.methods]
    tasks = [name for name in found.measures if name in recipe.tasks]
    assert set(found.nulls) == set(tasks) != set()
    assert found.card["command"].startswith(f"python -m engine recipe {recipe.name} ")
    assert {"command", "date", "seconds", "machine", "versions", "settings"} <= set(found.card)
    for one in found.rows:
        for task in tasks:
            numbers = one.measured[task]
            assert len(numbers.values) == recipe.seeds
            assert numbers.mean == pytest.approx(summarise(numbers.values).mean)
            assert numbers.interval == pytest.approx(summarise(numbers.values).interval)
    student = Shape(**{**teacher_card(recipe.teacher).shape.to_json(), **recipe.student, "ffn": None, "head_dim": None})
    for one in found.rows[1:]:
        assert one.parameters == parameters(student.replace(mlm_head=False, embedding=None))


@pytest.mark.parametrize("path", sorted({*SHIPPED_FILES} - {*SCORED}), ids=lambda path: path.stem)
def test_shipped_outcomes_are_complete_and_true(path):
    """Harm: a shipped table lacks a row or a seed, counts parameters wrongly, or averages what it does not show."""
    found, grid = read_outcome(path), GRIDS[path.stem]
    own = [one for one in found.rows if one.runs]
    assert found.complete
    assert [(one.name, one.label, one.series, one.base) for one in own] == [
        (it.name, it.label, it.series, it.base) for it in grid.rows
    ]
    assert found.measures == grid.measures
    assert {"command", "date", "seconds", "machine", "versions", "settings"} <= set(found.card)
    assert found.card["command"] == f"python -m engine recipe {grid.name} --save"
    assert found.card["settings"] == json.loads(json.dumps(dict(grid.settings)))
    for one in found.rows:
        shape = Shape.from_json(one.shape)
        assert parameters(shape) == one.parameters
        if one.runs:
            wanted = grid.row(one.name)
            assert one.seeds == tuple(range(grid.seeds))
            assert one.method == wanted.changes.get("method", grid.settings.get("method"))
            planned = plan(grid.config(wanted, 0)).shape
            assert (shape.layers, shape.hidden) == (planned.layers, planned.hidden)
        for name, numbers in {**one.measured, **one.differences}.items():
            again = summarise(numbers.values)
            assert numbers.mean == pytest.approx(again.mean), name
            assert numbers.interval == (None if again.interval is None else pytest.approx(again.interval)), name
        base = found.row(one.base) if one.base else None
        if base:
            assert one.differences == differences_from_base(one, base)
        shares = set(found.measures) & set(one.measured) - {"retained"}  # a student may be better than its teacher
        assert all(0 <= one.measured[name].mean <= 1 for name in shares)


def test_differences_are_taken_seed_by_seed():
    """Harm: the spread that two rows share, for they saw the same text, is counted as doubt about their difference."""
    base, other = row("base", [0.1, 0.5, 0.9]), row("other", [0.2, 0.6, 1.0])
    found = differences_from_base(other, base)["masked_accuracy"]
    assert found.values == pytest.approx((0.1, 0.1, 0.1))
    assert found.interval == pytest.approx(0.0, abs=1e-9)
    assert mean_interval([0.1, 0.5, 0.9]) > 0.9


def test_an_outcome_survives_the_disk(tmp_path):
    """Harm: hours of training whose result cannot be read again."""
    found = outcome(row("a", [0.25, 0.5]), row("b", [0.5, 0.75], base="a", note="A note."))
    path = write_outcome(found, tmp_path / "new folder")
    assert read_outcome(path) == found
    assert list_outcomes(path.parent) == ([found], [])
    assert found.complete


@pytest.mark.parametrize(
    "spoil",
    [
        lambda data: "not json",
        lambda data: [],
        lambda data: {**data, "layout": 99},
        lambda data: {**data, "rows": "many"},
        lambda data: {**data, "rows": [*data["rows"], *data["rows"]]},
        lambda data: {**data, "name": "../../etc/passwd"},
        lambda data: {**data, "title": "x" * 10_000},
        lambda data: {**data, "nulls": {"masked_accuracy": "high"}},
        lambda data: {**data, "wanted_runs": -1},
        lambda data: {**data, "card": None},
        lambda data: {**data, "rows": [{**data["rows"][0], "parameters": True}]},
        lambda data: {**data, "rows": [{**data["rows"][0], "measured": {"m": {"mean": 1, "values": []}}}]},
        lambda data: {**data, "rows": [{**data["rows"][0], "measured": {"m": {"mean": float("nan"), "values": [1]}}}]},
        lambda data: {**data, "rows": [{**data["rows"][0], "seeds": ["first"]}]},
    ],
)
def test_a_hostile_file_is_one_sentence(spoil, tmp_path):
    """Harm: one bad file in the folder, and the page shows a traceback instead of the good ones."""
    good = outcome(row("a", [0.25, 0.5]))
    path = write_outcome(good, tmp_path)
    data = spoil(json.loads(path.read_text()))
    bad = tmp_path / "bad.json"
    bad.write_text(data if isinstance(data, str) else json.dumps(data))
    with pytest.raises(OutcomeError, match=r"bad\.json"):
        read_outcome(bad)
    found, problems = list_outcomes(tmp_path)
    assert found == [good]
    assert len(problems) == 1


def test_links_large_and_deep_files_are_refused(tmp_path):
    """Harm: a link out of the folder is read, or a page takes a gigabyte into memory."""
    path = write_outcome(outcome(row("a", [0.25, 0.5])), tmp_path / "elsewhere")
    here = tmp_path / "here"
    here.mkdir()
    (here / "link.json").symlink_to(path)
    (here / "deep.json").write_text("[" * 100_000)
    (here / "large.json").write_text(" " * 2_000_001)
    found, problems = list_outcomes(here)
    assert found == []
    assert len(problems) == 3
    assert list_outcomes(tmp_path / "nowhere") == ([], [])
