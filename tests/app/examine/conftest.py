"""The examine page of one short run, for tests without a browser."""

import pytest

from tests.fixtures.examine_page import open_page


@pytest.fixture
def page(made, monkeypatch):
    """The page of that run's student."""
    return open_page(*made, monkeypatch)
