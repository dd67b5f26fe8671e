"""Experiments as grids: every row can be run, and rows differ in what they say they differ in."""

import pytest

from engine.cli.recipe import GRIDS
from engine.experiments.grid import MEASURES
from engine.settings.options import ConfigError
from engine.training.plan import plan

pytestmark = pytest.mark.usefixtures("english_at_hand")


@pytest.mark.parametrize("grid", GRIDS.values(), ids=lambda grid: grid.name)
def test_every_row_can_be_run(grid):
    """Harm: an experiment that fails after its first hour, at a row whose settings do not fit together."""
    names = [row.name for row in grid.rows]
    assert len(set(names)) == len(names)
    assert set(grid.measures) <= set(MEASURES)
    assert grid.seeds >= 3
    for row in grid.rows:
        assert plan(grid.config(row, 0)).shape.layers >= 1
        assert not row.base or row.base in names
        assert row.base != row.name


@pytest.mark.parametrize("grid", GRIDS.values(), ids=lambda grid: grid.name)
def test_rows_have_one_budget(grid):
    """Harm: a method looks better because it was given more steps, other text or larger batches."""
    for seed in range(grid.seeds):
        configs = [grid.config(row, seed) for row in grid.rows if row.changes.get("corpus") != "auto"]  # PKD: a task
        assert len(configs) >= len(grid.rows) - 1
        assert {(c.seed, c.batch, c.length, c.corpus, c.teacher) for c in configs} == {
            (seed, configs[0].batch, configs[0].length, configs[0].corpus, configs[0].teacher)
        }
        assert {c.steps for c in configs} - {0} == {configs[0].steps}


def test_only_what_keeps_rows_comparable_can_be_changed():
    """Harm: a changed setting makes rows that differ in two things, or a grid without a seed divides by zero."""
    grid = GRIDS["family"]
    assert grid.with_changes(2, steps=7, batch=None).config(grid.rows[0], 1).steps == 7
    with pytest.raises(ConfigError, match="method cannot be changed"):
        grid.with_changes(method="wid")
    with pytest.raises(ConfigError, match="At least one seed"):
        grid.with_changes(0)
