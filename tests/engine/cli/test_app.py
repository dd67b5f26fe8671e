"""The verb app starts the app with Streamlit, on this machine only, and runs lie where the person is."""

import importlib.util
import os
import sys
from types import SimpleNamespace

import pytest

from engine.__main__ import main
from engine.cli import app
from engine.settings.project import CODE, PROJECT


@pytest.fixture
def starts(monkeypatch):
    """What would have been started: (command, environment)."""
    found = []

    def start(command, env, check):
        found.append((command, env))
        return SimpleNamespace(returncode=3)

    monkeypatch.setattr(app.subprocess, "run", start)
    return found


def test_it_starts_the_page_list_beside_its_configuration(starts, tmp_path, monkeypatch) -> None:
    """Harm: the app is served without its own configuration, to the whole network; or its runs lie elsewhere."""
    monkeypatch.chdir(tmp_path)
    assert main(["app", "--port", "8600", "--no-browser", "--runs", "mine"]) == 3
    [(command, environment)] = starts
    pages = PROJECT / "streamlit_app.py"
    assert command[:5] == [sys.executable, "-m", "streamlit", "run", str(pages)]
    assert command[5:] == ["--server.port", "8600", "--server.headless", "true"]
    assert pages.with_name(".streamlit").joinpath("config.toml").exists()
    assert environment["HEIRLOOM_RUNS"] == str(tmp_path / "mine")
    assert environment["PYTHONPATH"].split(os.pathsep)[0] == str(CODE)


def test_bad_ports_and_a_missing_streamlit_are_one_sentence(starts, monkeypatch, capsys) -> None:
    """Harm: a traceback out of a library whose name the person has never heard."""
    assert main(["app", "--port", "0"]) == 2
    assert "--port must be between 1 and 65535, got 0" in capsys.readouterr().err
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert main(["app"]) == 2
    assert "pip install streamlit" in capsys.readouterr().err
    assert starts == []
