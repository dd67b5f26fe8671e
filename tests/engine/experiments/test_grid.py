"""Experiments as grids: every row can be run, and rows differ in what they say they differ in."""

import pytest

from engine.cli.recipe import GRIDS
from engine.experiments.albert_tables import IN_ENGLISH, MICROWORLD, embedding_table, sharing_table
from engine.experiments.grid import MEASURES
from engine.experiments.outcome import read_outcome
from engine.methods.registry import METHODS
from engine.settings.options import ConfigError
from engine.settings.project import EXPERIMENTS
from engine.sizing.cost import parameters
from engine.sizing.published_tables import SENTENCE_ORDER
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


@pytest.mark.parametrize("scale", [MICROWORLD, IN_ENGLISH], ids=["microworld", "english"])
@pytest.mark.parametrize("table", [sharing_table, embedding_table])
def test_rows_of_albert_s_tables_are_what_they_are_called(table, scale):
    """Harm: 'attention shared' shares the FFN, and the wrong lesson is drawn from a right number."""
    grid = table(scale)
    assert len(grid.rows) == 8
    sizes = {}
    for row in grid.rows:
        shape, (sharing, embedding) = plan(grid.config(row, 0)).shape, row.name.split("-")
        assert (shape.sharing, shape.embedding, shape.hidden) == (sharing, int(embedding), scale.hidden)
        assert row.paper is not None
        sizes[row.name] = parameters(shape), float(row.paper_parameters.removesuffix("M"))
    # what is larger in the paper is larger here, within each embedding size
    for embedding in {name.split("-")[1] for name in sizes}:
        here = [sizes[name] for name in sizes if name.endswith(f"-{embedding}")]
        assert [said for _, said in sorted(here)] == sorted(said for _, said in here)


def test_the_sentence_order_table_is_the_paper_s():
    """Harm: a digit of the paper's table is typed wrong (FACTS: none 54.9/52.4/53.3, NSP 54.5/90.5/52.0, SOP ...)."""
    rows = {one.trained_on: (one.mlm, one.nsp, one.sop, one.score) for one in SENTENCE_ORDER}
    assert rows == {
        "none": (54.9, 52.4, 53.3, 79.0),
        "nsp": (54.5, 90.5, 52.0, 79.2),
        "sop": (54.0, 78.9, 86.5, 80.1),
    }


@pytest.mark.parametrize("name", ["family", "family-english"])
def test_the_family_has_every_published_row(name):
    """Harm: the picture of all methods loses a row that was published, or names a method that is gone.

    A method that is new joins when somebody has run it: a published experiment is not made larger by registering.
    """
    grid, published = GRIDS[name], read_outcome(EXPERIMENTS / f"{name}.json")
    assert {row.name for row in grid.rows} == {row.name for row in published.rows} - {"teacher"}
    assert {row.changes["method"] for row in grid.rows} == {row.method for row in published.rows} - {""}
    assert {row.changes["method"] for row in grid.rows} <= set(METHODS)


def test_only_what_keeps_rows_comparable_can_be_changed():
    """Harm: a changed setting makes rows that differ in two things, or a grid without a seed divides by zero."""
    grid = GRIDS["family"]
    assert grid.with_changes(2, steps=7, batch=None).config(grid.rows[0], 1).steps == 7
    with pytest.raises(ConfigError, match="method cannot be changed"):
        grid.with_changes(method="wid")
    with pytest.raises(ConfigError, match="At least one seed"):
        grid.with_changes(0)
