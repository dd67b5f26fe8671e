"""The compare page, run without a browser."""

import pytest
from streamlit.testing.v1 import AppTest

from app.session import caches
from engine.experiments.outcome import write_outcome
from engine.settings import project
from engine.settings.project import PROJECT


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Opens the page with the given shipped outcomes and own ones."""
    monkeypatch.setattr(caches, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(project, "EXPERIMENTS", tmp_path / "shipped")

    def open_page(shipped=(), own=(), link="") -> AppTest:
        for folder, some in ((tmp_path / "shipped", shipped), (tmp_path / "runs" / "experiments", own)):
            for one in some:
                write_outcome(one, folder)
        page = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=120).run()
        if link:
            page.query_params["experiment"] = link
        page.switch_page("app/pages/compare.py").run()
        assert not page.exception
        return page

    return open_page
