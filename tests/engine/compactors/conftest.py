"""Fixtures that tests of heirs and of their groups share."""

import pytest

from tests.fixtures.builders import teacher
from tests.fixtures.heirs import TEACHERS


@pytest.fixture(params=TEACHERS, name="bert")
def every_teacher(request):
    """Teachers of every kind that can be inherited from."""
    return teacher(**TEACHERS[request.param])
