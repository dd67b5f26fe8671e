"""ALBERT's tables as grids: rows are what they are called."""

import pytest

from engine.experiments.albert_tables import IN_ENGLISH, MICROWORLD, embedding_table, sharing_table
from engine.sizing.cost import parameters
from engine.training.plan import plan

pytestmark = pytest.mark.usefixtures("english_at_hand")


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
