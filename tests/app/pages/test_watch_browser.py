"""The watch page as a person uses it, in Chromium: a run is stopped, resumed and redrawn."""

import json
import os
import re
import time

import psutil
import pytest
from playwright.sync_api import expect

from engine.storage.runs import Run
from tests.fixtures.browsing import PATIENCE, main, settled, start_run
from tests.fixtures.pictured_run import beginning, picture, step_event, write_run

pytestmark = pytest.mark.browser


def test_a_run_can_be_stopped_and_resumed(open_page, server) -> None:
    """Harm: a run that was started by mistake holds the machine for hours; or stopping it loses what it learned."""
    page = open_page("build")
    start_run(page, 3000)
    main(page).get_by_text(re.compile(r"Step \d+ of 3,000.* left")).wait_for()
    main(page).get_by_role("button", name="Stop").click()
    main(page).get_by_text(re.compile(r"Stopped after [\d,]+ of 3,000 steps")).wait_for()
    run = server.runs / page.url.split("run=")[1]
    stopped_at = json.loads((run / "card.json").read_text())["steps_done"]
    assert (run / "student" / "model.safetensors").exists()

    settled(page)
    main(page).get_by_role("button", name="Resume").click()
    deadline = time.monotonic() + PATIENCE / 1000  # a stop before its first new step would leave it as it was
    while (Run(run).last_event() or {}).get("step", 0) <= stopped_at and time.monotonic() < deadline:
        page.wait_for_timeout(100)
    main(page).get_by_role("button", name="Stop").click()
    main(page).get_by_text(re.compile(r"Stopped after [\d,]+ of 3,000 steps")).wait_for()
    assert json.loads((run / "card.json").read_text())["steps_done"] > stopped_at


def test_a_run_at_work_is_redrawn_in_place(open_page, server) -> None:
    """Harm: while somebody watches, the page flickers or jumps at every step."""
    run = write_run(server.runs, [*beginning(), *(event(step) for step in (5, 10) for event in (step_event, picture))])
    run.write_process(os.getpid(), psutil.Process().create_time())
    page = open_page(f"watch?run={run.id}")
    page.get_by_text("Dims closing, step 10").wait_for()
    charts = page.locator("[data-testid=stVegaLiteChart] svg")
    expect(charts).to_have_count(4)
    page.evaluate("""() => {
        window.parts = [...document.querySelectorAll('[data-testid=stVegaLiteChart] svg, [data-testid=stMetric]')];
        window.tall = document.querySelector('[data-testid=stMain]').scrollHeight;
    }""")
    for event in (step_event(20), picture(20)):
        run.append(event)
    page.get_by_text("Dims closing, step 20").wait_for()
    page.get_by_alt_text("layer 2 FFN: 8 of 16 dims kept").wait_for()
    assert page.evaluate("window.parts.length == 8 && window.parts.every(part => part.isConnected)")
    assert page.evaluate("window.tall == document.querySelector('[data-testid=stMain]').scrollHeight")
    assert page.evaluate("[...document.querySelectorAll('[data-testid=stHtml] img')].every(it => it.naturalWidth)")
    run.append({"kind": "failed", "message": "Made by a test."})
    page.get_by_role("slider", name="Step of the picture").press("Home")
    page.get_by_text("Dims closing, step 5").wait_for()
