"""The watch page, run without a browser."""

import os

import psutil
import pytest
from streamlit.testing.v1 import AppTest

from app.session import caches
from engine.settings.project import PROJECT
from tests.fixtures.pictured_run import write_run


@pytest.fixture
def watch(tmp_path, monkeypatch):
    """Opens the watch page for a run with the given events."""
    monkeypatch.setattr(caches, "RUNS", tmp_path)

    def open_run(events, *, at_work=False, over="") -> AppTest:
        run = write_run(tmp_path, events)
        if at_work:
            run.write_process(os.getpid(), psutil.Process().create_time())
        page = AppTest.from_file(PROJECT / "streamlit_app.py", default_timeout=120)
        page.query_params["run"] = run.id
        page.run()
        page.switch_page("app/pages/watch.py")
        page.query_params["run"] = run.id
        if over:
            page.query_params["over"] = over
        page.run()
        assert not page.exception
        return page

    return open_run
