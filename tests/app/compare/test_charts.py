"""Experiments as figures: names that can be read, and charts of nothing."""

import pytest

from app.compare.charts import cost_quality_scatter, dot_plot
from app.compare.points import COST_AXES, PlacedPoint
from app.elements.theme import DARK, LIGHT


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_labels_do_not_cover_one_another(colours):
    """Harm: six methods at one number of parameters, and six names on one spot."""
    points = [PlacedPoint(f"method {n}", "students", 222.0, 60 + n * 0.1, 1.0, 3, "") for n in range(6)]
    points.append(PlacedPoint("Teacher", "teacher", 840.0, 100.0, None, 1, ""))
    figure = cost_quality_scatter(points, COST_AXES["parameters"], "Retained", colours)
    pixel = 41.5 / 310  # percent a pixel: from 59 to 100 over the plot's height
    heights = sorted(-note.y / pixel + note.ay for note in figure.layout.annotations if "method" in note.text)
    assert len(figure.layout.annotations) == len(points)
    assert min(b - a for a, b in zip(heights, heights[1:], strict=False)) > 12
    assert len({trace.marker.color for trace in figure.data}) == 2
    assert len({trace.marker.symbol for trace in figure.data}) == 2


def test_an_empty_chart_can_be_drawn():
    """Harm: a page that fails where a choice leaves nothing."""
    assert dot_plot([], "%", LIGHT).data == ()
    assert cost_quality_scatter([], COST_AXES["work"], "Retained", LIGHT).data == ()
