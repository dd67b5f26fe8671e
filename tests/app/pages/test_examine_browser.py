"""The tabs of the examine page that are drawn when they are opened, in Chromium."""

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
