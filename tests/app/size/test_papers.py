"""Scores from papers are labelled as theirs. Run without a browser."""

import json

from engine.sizing.comparison import Comparison
from tests.fixtures.size_page import FOUR, opened


def test_papers_scores_are_labelled_as_theirs() -> None:
    """Harm: a score that nobody measured stands beside an own model."""
    page = opened(Comparison(FOUR.configurations, tab="papers"))
    charts = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
    assert len(charts) == 2
    for chart in charts:
        names = [trace["name"] for trace in chart["data"]]
        assert sum(name.endswith("(paper)") for name in names) == 2
        assert sum(name.endswith("size only") for name in names) == 4
    assert any("none is predicted" in caption.value for caption in page.caption)
