"""The family of all methods, as it was published."""

import pytest

from engine.cli.recipe import GRIDS
from engine.experiments.outcome import read_outcome
from engine.methods.registry import METHODS
from engine.settings.project import EXPERIMENTS

pytestmark = pytest.mark.usefixtures("english_at_hand")


@pytest.mark.parametrize("name", ["family", "family-english"])
def test_the_family_has_every_published_row(name):
    """Harm: the picture of all methods loses a row that was published, or names a method that is gone.

    A method that is new joins when somebody has run it: a published experiment is not made larger by registering.
    """
    grid, published = GRIDS[name], read_outcome(EXPERIMENTS / f"{name}.json")
    assert {row.name for row in grid.rows} == {row.name for row in published.rows} - {"teacher"}
    assert {row.changes["method"] for row in grid.rows} == {row.method for row in published.rows} - {""}
    assert {row.changes["method"] for row in grid.rows} <= set(METHODS)
