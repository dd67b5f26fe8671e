"""Fixtures that tests of WID share."""

import pytest

from tests.fixtures.lesson import CASES, Lesson


@pytest.fixture(params=CASES, name="lesson")
def every_lesson(request):
    """Runs of every kind, not begun."""
    return Lesson(*CASES[request.param])
