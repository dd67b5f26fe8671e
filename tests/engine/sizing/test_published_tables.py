"""Papers' tables: their numbers are those of the paper, and shapes have about the printed size."""

import pytest

from engine.sizing.cost import parameters
from engine.sizing.published_tables import SENTENCE_ORDER, TABLES


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.title)
def test_points_have_about_the_printed_size(table) -> None:
    """Harm: a score stands at the size of another model."""
    assert len(table.rows) == 8
    assert "1909.11942" in table.source
    for point in table.rows:
        assert abs(parameters(point.shape) / 1e6 - float(point.printed_parameters.removesuffix("M"))) < 2, point
        assert 79 <= point.score <= 82.3


def test_sharing_the_ffn_costs_more_than_sharing_attention() -> None:
    """Harm: two rows of the table are swapped, and the lesson with them."""
    for series in ("E = 768", "E = 128"):
        scores = {point.label: point.score for point in TABLES[1].rows if point.series == series}
        assert scores["attention"] > scores["FFN"]


def test_the_sentence_order_table_is_the_paper_s():
    """Harm: a digit of the paper's table is typed wrong (FACTS: none 54.9/52.4/53.3, NSP 54.5/90.5/52.0, SOP ...)."""
    rows = {one.trained_on: (one.mlm, one.nsp, one.sop, one.score) for one in SENTENCE_ORDER}
    assert rows == {
        "none": (54.9, 52.4, 53.3, 79.0),
        "nsp": (54.5, 90.5, 52.0, 79.2),
        "sop": (54.0, 78.9, 86.5, 80.1),
    }
