"""The app as a person uses it, in Chromium."""

import json
import os
import re
import time

import psutil
import pytest
from playwright.sync_api import expect

from engine.storage.runs import Run
from tests.fixtures.browsing import PATIENCE, account, main, no_sideways_scroll, settled
from tests.fixtures.pictured_run import beginning, picture, step_event, write_run

pytestmark = pytest.mark.browser


def start_run(page, steps: int) -> None:
    """Sets the number of steps on the build page and presses Start."""
    main(page).get_by_text("Run settings").click()
    field = page.get_by_label("Steps", exact=True)
    field.fill(str(steps))
    field.press("Enter")
    settled(page)
    start = main(page).get_by_role("button", name="Start")
    expect(start).to_be_enabled()
    start.click()
    page.wait_for_url("**/watch?run=*")


def test_parameter_count_follows_the_sliders(open_page) -> None:
    """Harm: the number on the page is not that of the shape on the page."""
    page = open_page()
    page.get_by_text("33,391,290").first.wait_for()  # 12 x 384: facts/model_sizes.json, minilm-l12-h384
    page.get_by_role("slider", name="Layers").press("Home")
    page.get_by_text("33,391,290").first.wait_for(state="detached")
    layers = page.get_by_role("slider", name="Layers")
    for _ in range(5):
        layers.press("ArrowRight")
    page.get_by_text("22,744,506").first.wait_for()  # 6 x 384: minilm-l6-h384


def test_heads_that_do_not_divide_are_explained(open_page) -> None:
    """Harm: an impossible shape shows a traceback, or a count of something that cannot exist."""
    page = open_page()
    page.get_by_role("slider", name="Heads").press("ArrowLeft")
    message = main(page).get_by_role("alert")
    message.wait_for()
    assert "does not divide into 11 heads" in message.inner_text()
    assert "12" in message.inner_text()


@pytest.mark.parametrize("dark", [False, True])
def test_from_form_to_attention(open_page, server, dark) -> None:
    """Harm: one of the rooms on the way from a form to an inherited attention map is locked."""
    page = open_page("build", dark=dark)
    start_run(page, 40)
    main(page).get_by_text("Retained", exact=True).wait_for()
    run = server.runs / page.url.split("run=")[1]
    card = json.loads((run / "card.json").read_text())
    assert card["complete"]
    assert card["shape"]["hidden"] == 64
    main(page).get_by_text(f"{card['parameters']:,}").first.wait_for()

    settled(page)
    main(page).get_by_role("button", name="Examine").click()
    page.wait_for_url("**/examine?run=*")
    settled(page)
    sentence = page.get_by_label("Sentence", exact=True)
    sentence.fill("The king near the dragons hides himself.")
    sentence.press("Enter")
    page.get_by_text("dragons").first.wait_for()
    settled(page)
    mosaics = page.locator(".js-plotly-plot .heatmaplayer image")
    mosaics.nth(3).wait_for(state="attached")

    page.get_by_role("tab", name="Attention as lines").click()
    for index in range(2):
        frame = page.frame_locator("iframe").nth(index)
        frame.locator("svg text").filter(has_text="dragons").first.wait_for()
    settled(page)
    page.get_by_role("tab", name="Layers").click()
    page.get_by_text("between each layer's input and output").first.wait_for()
    assert no_sideways_scroll(page)


@pytest.mark.parametrize("dark", [False, True])
def test_experiments_fit_on_a_phone(open_page, student, dark) -> None:
    """Harm: the comparison runs out of the screen, or a chosen experiment or run is drawn nowhere."""
    page = open_page("compare", dark=dark, width=390)
    page.get_by_label("Experiment", exact=True).click()
    page.get_by_role("option", name="My runs").click()
    page.locator(".js-plotly-plot .scatterlayer .point").first.wait_for(state="attached")
    page.get_by_role("cell", name=student).wait_for()
    assert no_sideways_scroll(page)


def test_click_on_a_head_opens_it_in_both_models(open_page, student) -> None:
    """Harm: the mosaic says 'click' and nothing happens."""
    page = open_page(f"examine?run={student}")
    page.locator(".js-plotly-plot .heatmaplayer image").nth(3).wait_for(state="attached")
    settled(page)
    drag = page.locator(".js-plotly-plot").first.locator(".nsewdrag").first
    box = drag.bounding_box()
    page.mouse.move(box["x"] + box["width"] * 5 / 8, box["y"] + box["height"] * 3 / 8)  # layer 2, head 3 of 4 x 4
    page.mouse.down()
    page.mouse.up()
    for role in ("teacher", "student"):
        expect(page.get_by_role("combobox", name=f"Layer of the {role}")).to_have_value("2")
        expect(page.get_by_role("combobox", name=f"Head of the {role}")).to_have_value("3")


def test_the_score_and_the_film_come_at_a_press(open_page, student) -> None:
    """Harm: the question of the page, what was inherited, is a button that does nothing, or a film without end."""
    page = open_page(f"examine?run={student}", dark=True, width=390, eager=True)
    page.get_by_role("tab", name="Inheritance").click()  # while the page is being drawn, as people do
    main(page).get_by_role("button", name="Score", exact=True).click()
    tile = page.get_by_test_id("stMetric").filter(has_text="This student").first
    expect(tile).to_contain_text(re.compile(r"-?\d\.\d{3}"))
    assert no_sideways_scroll(page)
    settled(page)
    page.get_by_role("tab", name="Over time").click()
    shown = page.get_by_role("tabpanel").filter(has_text="The film in small")
    shown.get_by_text("after 20 steps").wait_for()  # it stands at its end, whatever was clicked before
    settled(page)
    # a frame may have come and gone before a test on a busy machine looks, so the page itself takes note
    page.evaluate(
        "new MutationObserver(() => { window.begun ||= /after (0|10) steps/.test(document.body.textContent); })"
        ".observe(document.body, {childList: true, subtree: true, characterData: true})"
    )
    page.get_by_role("button", name="Play").click()
    page.wait_for_function("window.begun")
    shown.get_by_text("after 20 steps").wait_for()
    page.get_by_role("button", name="Play").wait_for()  # and no longer Pause
    assert page.evaluate("[...document.querySelectorAll('[data-testid=stHtml] img')].every(it => it.naturalWidth)")
    assert no_sideways_scroll(page)


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


@pytest.mark.parametrize("path", ["watch", "examine"])
def test_hostile_link_is_refused_in_words(open_page, student, path) -> None:
    """Harm: a link reads files outside the runs, runs a script in the page, or shows a traceback."""
    page = open_page(f"{path}?run=..%2F..%2Fetc%2F%3Cscript%3Edocument.title%3D1%3C%2Fscript%3E")
    alert = main(page).get_by_role("alert").first
    alert.wait_for()
    assert alert.inner_text().count("There is no run") == 1
    assert "Traceback" not in main(page).inner_text()


def test_markup_in_a_sentence_stays_text(open_page, student) -> None:
    """Harm: a sentence that somebody pastes runs as a script in the page."""
    page = open_page("examine")
    sentence = page.get_by_label("Sentence", exact=True)
    sentence.fill("the <img src=x onerror=document.title='hacked'> girl </script><b>washes</b> herself")
    sentence.press("Enter")
    main(page).get_by_text("These words appear as [UNK]").wait_for()
    settled(page)
    page.get_by_role("tab", name="Attention as lines").click()
    page.frame_locator("iframe").first.locator("svg text").first.wait_for()
    assert page.title() != "hacked"
    assert page.locator("img[src=x]").count() == 0


def test_empty_sentence_is_asked_for(open_page, student) -> None:
    """Harm: an empty box gives a traceback or an empty picture."""
    page = open_page("examine")
    sentence = page.get_by_label("Sentence", exact=True)
    sentence.fill("   ")
    sentence.press("Enter")
    main(page).get_by_text("type at least one word").wait_for()


@pytest.mark.parametrize("path", ["", "build", "watch", "examine"])
def test_pages_fit_a_phone(open_page, student, path) -> None:
    """Harm: on a phone the numbers lie outside the screen."""
    page = open_page(path, width=390)
    assert no_sideways_scroll(page)


def test_a_failure_tells_what_was_on_the_page(open_page, server, tmp_path) -> None:
    """Harm: a test fails on a machine that nobody can look at, and says no more than that it waited in vain."""
    page = open_page()
    told = account(page, tmp_path / "size.png", server.log.read_text())
    assert server.url in told
    assert '"testScriptState":"notRunning"' in told
    assert "How big would it be?" in told
    assert (tmp_path / "size.png").stat().st_size > 10_000
    page.evaluate("document.body.innerText = 'word '.repeat(10_000)")
    assert len(account(page, tmp_path / "long.png", "complaint " * 1000 + "\n" * 100)) < 3_000
    page.close()
    assert "does not answer" in account(page, tmp_path / "none.png")
