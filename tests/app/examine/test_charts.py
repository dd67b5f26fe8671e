"""Measures per layer as lines: the table's numbers, and depths that are comparable."""

import numpy as np

from app.elements.theme import LIGHT
from app.examine.charts import layer_lines


def test_step_lines_draw_means_over_one_another() -> None:
    """Harm: the line beside the table shows other numbers than the table; models of unequal depth stand askew."""
    values = np.arange(12.0).reshape(3, 4)
    figure = layer_lines({"Teacher": values, "Student": values[:2] + 1, "run <b>": values}, "L2", LIGHT, relative=True)
    lines = {trace.name: trace for trace in figure.data if trace.name}
    np.testing.assert_allclose(lines["Teacher"].y, [1.5, 5.5, 9.5])
    np.testing.assert_allclose(lines["Student"].y, [2.5, 6.5])
    np.testing.assert_allclose(lines["Teacher"].x, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(lines["Student"].x, [0.5, 1])
    assert lines["Teacher"].line.color == LIGHT.teacher
    assert lines["Student"].line.color == LIGHT.student
    assert "run &lt;b&gt;" in lines
    alone = layer_lines({"run": values, "Student": values}, "L2", LIGHT, dashed=frozenset({"run"}))
    lines = {trace.name: trace for trace in alone.data if trace.name}
    assert lines["run"].line.color not in (LIGHT.teacher, LIGHT.student)
    assert (lines["run"].line.dash, lines["Student"].line.dash) == ("dash", "solid")
