"""The app from page to page, as a person uses it, in Chromium."""

import json

import pytest

from tests.fixtures.browsing import account, main, no_sideways_scroll, settled, start_run

pytestmark = pytest.mark.browser


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


@pytest.mark.parametrize("path", ["watch", "examine"])
def test_hostile_link_is_refused_in_words(open_page, student, path) -> None:
    """Harm: a link reads files outside the runs, runs a script in the page, or shows a traceback."""
    page = open_page(f"{path}?run=..%2F..%2Fetc%2F%3Cscript%3Edocument.title%3D1%3C%2Fscript%3E")
    alert = main(page).get_by_role("alert").first
    alert.wait_for()
    assert alert.inner_text().count("There is no run") == 1
    assert "Traceback" not in main(page).inner_text()


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
