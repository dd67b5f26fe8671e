"""Charts drawn without a library: points and ticks where they belong."""

import numpy as np
import pytest

from engine.reports.svg_curves import axis_number, line_chart, ticks
from tests.fixtures.pages import HOSTILE, Elements


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (3.0, 3.0), (0.0, 0.0), (-7.2, 1e6), (1e-9, 2e-9), (99, 101)])
def test_ticks_enclose_what_is_drawn_in_even_steps(low: float, high: float) -> None:
    """Harm: a curve leaves its chart, or an axis has hundreds of numbers or none."""
    found = ticks(low, high)
    assert found[0] <= low <= high <= found[-1]
    assert 2 <= len(found) <= 9
    np.testing.assert_allclose(np.diff(found), found[1] - found[0], rtol=1e-3)


def test_a_chart_holds_its_points_where_they_belong() -> None:
    """Harm: a falling loss is drawn rising, a broken value breaks the drawing, a name runs as markup."""
    chart = line_chart({HOSTILE: [(0, 4.0), (1, float("nan")), (2, 1.0)]}, "Loss", "step", "nats", {"teacher": 2.0})
    elements = Elements(chart).found
    assert {tag for tag, _ in elements} == {
        "figure",
        "strong",
        "svg",
        "path",
        "text",
        "circle",
        "title",
        "figcaption",
        "span",
    }
    dots = [(float(a["cx"] or 0), float(a["cy"] or 0)) for tag, a in elements if tag == "circle"]
    assert len(dots) == 2
    assert dots[0][0] < dots[1][0]
    assert dots[0][1] < dots[1][1]  # y grows downwards: 4 stands above 1
    assert "nan" not in chart
    assert line_chart({"a": []}, "", "", "") == ""
    assert axis_number(1234567) == "1,234,567"
