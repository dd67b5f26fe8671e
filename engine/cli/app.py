"""The verb app: opens the app in the browser, on this machine only, until somebody presses Ctrl+C.

The app is started, not imported: the engine knows nothing of it but where its page list lies.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import subprocess
import sys
from contextlib import suppress

from engine.cli.arguments import add_runs_folder
from engine.settings.project import CODE, PROJECT

PAGES = PROJECT / "streamlit_app.py"  # .streamlit/config.toml beside it is read from any folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds what this verb takes."""
    add_runs_folder(parser)
    parser.add_argument("--port", type=int, default=8501, metavar="N", help="where it is served (default: 8501)")
    parser.add_argument("--no-browser", action="store_true", help="say the address and open nothing")


def run(arguments: argparse.Namespace) -> int:
    """Serves the app until it is stopped. Returns Streamlit's exit code."""
    if importlib.util.find_spec("streamlit") is None:
        raise ValueError("The app needs Streamlit, which is not installed: pip install streamlit.")
    if not 0 < arguments.port < 65536:
        raise ValueError(f"--port must be between 1 and 65535, got {arguments.port}.")
    python_path = os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": python_path, "HEIRLOOM_RUNS": str(arguments.runs.absolute())}
    command = [sys.executable, "-m", "streamlit", "run", str(PAGES), "--server.port", str(arguments.port)]
    if arguments.no_browser:
        command += ["--server.headless", "true"]
    with suppress(KeyboardInterrupt):  # Streamlit hears of it, too, and stops
        return subprocess.run(command, env=environment, check=False).returncode
    return 0
