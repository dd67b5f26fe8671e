"""Points of a scatter: each where its numbers say, in a unit that people read."""

from dataclasses import replace

import pytest

from app.compare.points import COST_AXES, PlacedPoint, in_fitting_unit, outcome_points, run_points
from engine.sizing.cost import parameters
from tests.fixtures.experiments import SHAPE, experiment, finished, row


def test_a_point_stands_where_its_numbers_say(tmp_path):
    """Harm: a student stands at the cost or the quality of another, or of another unit."""
    found = experiment("one", row("a", [0.2, 0.3]))
    (point,) = outcome_points(found, COST_AXES["parameters"], "masked_accuracy")
    assert (point.x, point.y) == pytest.approx((12.345, 25.0))
    (point,) = outcome_points(found, COST_AXES["bytes"], "masked_accuracy")
    assert point.x == pytest.approx(4 * parameters(SHAPE) / 1e3)
    tokens, words, hidden = 64, 10, 32
    products = 2 * (tokens * 12 * hidden**2 + 2 * tokens**2 * hidden) + words * (hidden**2 + hidden * 211)
    (point,) = outcome_points(found, COST_AXES["work"], "masked_accuracy")
    assert point.x == pytest.approx(2 * products / 1e6)
    assert outcome_points(found, COST_AXES["flops"], "masked_accuracy") == []  # not told, so not shown
    slow = replace(found, rows=(row("a", [0.2, 0.3], seconds=(9.0, 4.0)),))
    (point,) = outcome_points(slow, COST_AXES["seconds"], "masked_accuracy")
    assert point.x == 4.0  # another program on the machine makes a run slower, never quicker
    (own,) = run_points([finished(tmp_path)], COST_AXES["seconds"], "retained")
    assert (own.x, own.y) == pytest.approx((10.0, 90.0))


def test_real_models_stand_on_an_axis_of_millions():
    """Harm: 22,700 thousand parameters, which nobody reads as 22.7 million; or a unit whose numbers stayed the same."""
    points = [PlacedPoint("a", "s", x, 50.0, None, 1, "") for x in (8_696.0, 22_744.0)]
    larger, axis = in_fitting_unit(points, COST_AXES["parameters"])
    assert axis.unit == "million parameters"
    assert [point.x for point in larger] == pytest.approx([8.696, 22.744])
    assert axis.scale * larger[0].x == pytest.approx(COST_AXES["parameters"].scale * points[0].x)
    assert in_fitting_unit([replace(points[0], x=848.0)], COST_AXES["parameters"]) == (
        [replace(points[0], x=848.0)],
        COST_AXES["parameters"],
    )
    assert in_fitting_unit(points, COST_AXES["seconds"]) == (points, COST_AXES["seconds"])
    assert in_fitting_unit([], COST_AXES["bytes"]) == ([], COST_AXES["bytes"])
