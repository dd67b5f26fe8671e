"""What-if curves for every control. Run without a browser."""

import json

import pytest

from engine.sizing.comparison import Comparison
from engine.sizing.sweep import SWEEPABLE
from tests.fixtures.size_page import FOUR, opened


@pytest.mark.parametrize("name", SWEEPABLE)
def test_every_control_can_be_swept(name: str) -> None:
    """Harm: one of the curves is a traceback."""
    page = opened(Comparison(FOUR.configurations, tab="what-if", sweep=name, chosen=2))
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert figure["data"]
