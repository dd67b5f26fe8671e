"""Whoever asks by a name that is not ours gets nothing, not even the page's shell."""

import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory):
    """The address of the app behind its door."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_server.py", "--server.headless", "true"]
    command += ["--server.port", str(port)]
    environment = {**os.environ, "HEIRLOOM_RUNS": str(tmp_path_factory.mktemp("runs"))}
    log = tmp_path_factory.mktemp("log") / "server.log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=PROJECT, stdout=file, stderr=file, env=environment)
    address, deadline = f"http://127.0.0.1:{port}", time.monotonic() + 120
    while status(f"{address}/_stcore/health", "localhost") != 200:
        assert process.poll() is None, log.read_text()
        assert time.monotonic() < deadline, log.read_text()
        time.sleep(0.1)
    yield address
    process.terminate()
    process.wait(20)


def status(url: str, host: str) -> int:
    """What is answered to whoever asks for `url` by the name `host`; 0: nothing."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Host": host}), timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


@pytest.mark.parametrize("path", ["/", "/_stcore/health", "/_stcore/metrics", "/static/x", "/_stcore/upload_file/x/y"])
def test_a_foreign_name_gets_nothing(url: str, path: str) -> None:
    """Harm: a page from elsewhere, by DNS rebinding, reads what the server tells of itself and of who uses it."""
    for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "", "evil.example:8501"):
        assert status(url + path, host) == 400, host


def test_our_own_names_get_the_page(url: str) -> None:
    """Harm: the door is shut for everybody."""
    for host in ("localhost", "127.0.0.1", "localhost:8501", url.removeprefix("http://")):
        assert status(f"{url}/", host) == 200
