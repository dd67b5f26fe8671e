"""Numbers are written as people write them."""

import numpy as np

from app.elements.heatmaps import common_limits
from app.elements.text import format_number


def test_numbers_are_written_as_people_write_them() -> None:
    """Harm: '-0.00' in a table, or a scale that starts at another place in each of two pictures."""
    assert format_number(-0.001, ".2f") == "0.00"
    assert format_number(0.0, "+.2f") == "0.00"
    assert format_number(float("nan"), ".2f") == ""
    assert format_number(-0.5, "+.1f") == "\N{MINUS SIGN}0.5"
    assert common_limits(np.array([0.1, 0.5]), np.array([0.2, np.nan])) == (0.0, 0.5)
    assert common_limits(np.array([0.1, -0.5]), np.array([0.2])) == (-0.5, 0.5)
