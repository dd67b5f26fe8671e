"""The build page, run without a browser; what is started there is remembered."""

import pytest

from engine.training import job
from tests.fixtures.build_page import opened


@pytest.fixture
def page(monkeypatch, tmp_path):
    """The page; only a folder of its own may be read, and what is started is remembered instead."""
    monkeypatch.setenv("HEIRLOOM_ROOTS", str(tmp_path))
    started = []
    monkeypatch.setattr(job, "start", lambda root, config, name: started.append(config) or 1 / 0)
    found = opened(monkeypatch, tmp_path)
    found.started = started
    return found
