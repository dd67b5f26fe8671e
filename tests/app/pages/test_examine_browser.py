"""The examine page as a person uses it, in Chromium: tabs, heads, scores, films and sentences."""

import re

import pytest
from playwright.sync_api import expect

from tests.fixtures.browsing import main, no_sideways_scroll, settled

pytestmark = pytest.mark.browser


def test_a_tab_is_drawn_when_opened_and_stands_in_the_link(open_page, student) -> None:
    """Harm: a link to a picture leads to another one; a tab stays empty; on a phone figures lie outside the screen."""
    page = open_page(f"examine?run={student}&view=Ancestry", width=390)
    main(page).get_by_text("Most like the chief ancestor").wait_for()
    page.locator(".js-plotly-plot .sankey").first.wait_for(state="attached")
    assert no_sideways_scroll(page)
    settled(page)
    page.get_by_role("tab", name="Layers").click()
    main(page).get_by_text("Weights of neighbouring layers").wait_for()
    page.wait_for_url("**view=Layers*")
    settled(page)
    page.get_by_role("tab", name="Intervene").click()
    main(page).get_by_text("Which heads are missed?").wait_for()
    settled(page)
    main(page).get_by_role("button", name="Rank all heads").click()
    main(page).get_by_text("Switch off an ancestor, watch the heir").wait_for()
    expect(main(page).get_by_role("button", name="Rank all heads")).to_have_count(0)
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
