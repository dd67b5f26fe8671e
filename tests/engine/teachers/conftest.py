"""Fixtures that tests of teachers share."""

import pytest

from engine.teachers import catalog


@pytest.fixture
def fresh_cards():
    """Cards are remembered for a process; tests that move files must not leave theirs behind."""
    catalog._shipped_card.cache_clear()
    yield
    catalog._shipped_card.cache_clear()
