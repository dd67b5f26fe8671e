"""Fixtures that tests of tasks share."""

import pytest

from engine.model.bert import new_bert
from tests.fixtures.builders import teacher


@pytest.fixture(scope="module")
def fresh():
    """An untrained encoder wide enough to learn something."""
    return new_bert(teacher(hidden=32, ffn=64).shape, seed=0)
