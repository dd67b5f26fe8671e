"""A real browser and a real server, for tests that look at the app as a person does; and runs for all others."""

import json
import os
import re
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from playwright.sync_api import expect, sync_playwright

from tests.fixtures.browsing import PATIENCE, REMEMBER_PRESSES, account, settled

PROJECT = Path(__file__).resolve().parents[2]
CHROMIUM = next((Path(p) for p in ("/usr/bin/chromium", "/usr/bin/chromium-browser") if Path(p).exists()), None)
ARGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
ARGS += ["--disable-component-update", "--disable-sync"]


@pytest.fixture(scope="module")
def browser():
    """One Chromium for all tests of a file; missing, it skips them, or fails where browser tests are required."""
    if CHROMIUM is None:
        if os.environ.get("HEIRLOOM_REQUIRE_BROWSER") == "1":
            pytest.fail("HEIRLOOM_REQUIRE_BROWSER=1 expects the system's Chromium; there is none. Install it.")
        pytest.skip("no Chromium on this machine; install Debian's package chromium to run the browser tests")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=str(CHROMIUM), args=ARGS)
        yield chromium
        chromium.close()


expect.set_options(timeout=PATIENCE)
OPEN = pytest.StashKey[list]()  # pages that a test has opened, and the server that they are of


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    """A browser test that fails tells what was on its pages."""
    report = yield
    if report.when == "call" and report.failed:
        for number, (page, server) in enumerate(item.stash.get(OPEN, []), start=1):
            picture = server.log.with_name(f"{re.sub(r'[^a-zA-Z0-9]+', '-', item.name)}-{number}.png")
            report.sections.append((f"page {number}", account(page, picture, server.log.read_text(errors="replace"))))
    return report


class Server:
    """The app in a process of its own, with runs in a folder of its own."""

    def __init__(self, runs: Path, log: Path) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        self.url, self.log, self.runs = f"http://127.0.0.1:{port}", log, runs
        command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
        command += ["--server.port", str(port), "--server.headless", "true"]
        environment = {**os.environ, "HEIRLOOM_RUNS": str(runs)}
        with log.open("wb") as file:
            self.process = subprocess.Popen(command, cwd=PROJECT, stdout=file, stderr=file, env=environment)
        deadline = time.monotonic() + 300
        while not self._healthy():
            assert self.process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)

    def _healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/_stcore/health", timeout=30) as answer:
                return answer.read() == b"ok"
        except OSError:
            return False

    def complaints(self) -> list[str]:
        """Lines of the server's log that speak of an error or of something deprecated."""
        wrong = re.compile(r"Traceback|Error|deprecat|Please replace|will be removed", re.IGNORECASE)
        return [line for line in self.log.read_text().splitlines() if wrong.search(line)]


def started(folder: Path):
    """A running app for a fixture; afterwards its log must hold no complaint."""
    running = Server(folder / "runs", folder / "server.log")
    yield running
    running.process.terminate()
    running.process.wait(20)
    assert running.complaints() == []


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The running app, one for all files that do not start their own."""
    yield from started(tmp_path_factory.mktemp("app"))


@pytest.fixture(scope="session")
def student(server):
    """A small finished student among the server's runs; its id."""
    command = [sys.executable, "-m", "engine", "train", "--runs", str(server.runs), "--json", "--hidden", "64"]
    command += ["--steps", "20", "--batch", "16", "--evaluations", "2"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["id"]


@pytest.fixture
def open_page(browser, server, request):
    """Opens a path of the app; afterwards nothing may have failed in the page or been asked of another host.

    The page is whole when a test gets it, but `eager` has it as soon as there is a heading.
    """
    contexts, problems = [], []
    pages = request.node.stash[OPEN] = []

    def watch_request(request) -> None:
        if not request.url.startswith((server.url, "data:", "blob:", "about:")):
            problems.append(f"asked for {request.url}")

    def open_path(path: str = "", *, dark: bool = False, width: int = 1400, eager: bool = False):
        context = browser.new_context(
            viewport={"width": width, "height": 1000}, color_scheme="dark" if dark else "light"
        )
        contexts.append(context)
        context.add_init_script(REMEMBER_PRESSES)
        page = context.new_page()
        page.set_default_timeout(PATIENCE)
        pages.append((page, server))
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on("request", watch_request)
        page.goto(f"{server.url}/{path}")
        page.locator("h1").first.wait_for()
        if not eager:
            settled(page)
        return page

    yield open_path
    for context in contexts:
        context.close()
    assert problems == []


@pytest.fixture(scope="session")
def made(tmp_path_factory):
    """(folder, a short WID run in it), for tests without a browser; they leave both as they are."""
    from engine.text import corpora
    from tests.fixtures.short_run import make

    folder = tmp_path_factory.mktemp("runs")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "HELD_OUT_ROWS", 32)
        return folder, make(folder, "wid")


@pytest.fixture(scope="session")
def runs(tmp_path_factory):
    """A folder with the students that the examine page is tried with, made once for all files."""
    from engine.text import corpora
    from tests.fixtures.examine_page import make_students

    folder = tmp_path_factory.mktemp("students")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpora, "HELD_OUT_ROWS", 32)
        make_students(folder)
    return folder


@pytest.fixture(scope="session")
def ids(runs):
    """The id of the student made by each method."""
    from engine.storage.runs import list_runs

    return {json.loads((run.student_dir / "card.json").read_text())["method"]: run.id for run in list_runs(runs)}


@pytest.fixture
def opened(runs, ids, monkeypatch):
    """Opens a tab of the examine page for the student of a method."""
    from streamlit.testing.v1 import AppTest

    from app.examine import model_pair
    from app.session import caches
    from tests.fixtures.examine_page import PAGE

    monkeypatch.setattr(caches, "RUNS", runs)
    monkeypatch.setattr(model_pair, "ROWS", 16)
    monkeypatch.setattr(model_pair, "MOST_RANKING_ROWS", 16)

    def open_tab(view, method="wid", run=None):
        page = AppTest.from_file(PAGE, default_timeout=300)
        page.query_params["run"] = run or ids[method]
        page.query_params["view"] = view
        page.run()
        assert not page.exception, page.exception
        return page

    return open_tab
