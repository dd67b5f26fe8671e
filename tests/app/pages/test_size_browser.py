"""The size page as a person uses it, in Chromium: what lights up, what is copied, a keyboard and a phone."""

import re
from pathlib import Path
from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from engine.sizing.comparison import TABS
from tests.app.conftest import started
from tests.fixtures.browsing import main, no_sideways_scroll, settled

pytestmark = pytest.mark.browser

TWO = "?v=1&c=bert-base~name.Teacher&c=bert-base~hidden.516~name.WID55"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """An app of this file's own, in which nobody opens a page that needs torch."""
    yield from started(tmp_path_factory.mktemp("size"))


def opacity(page, selector: str) -> float:
    """How strongly the first element of `selector` is drawn, once it has stopped fading."""
    return page.locator(selector).first.evaluate(
        "async e => { await Promise.all(e.getAnimations().map(a => a.finished)); return +getComputedStyle(e).opacity }"
    )


def test_size_page_comes_before_torch(open_page, server) -> None:
    """Harm: the front door takes eleven seconds because a page that only counts loads the model library."""
    page = open_page()
    page.get_by_text("109,514,298").first.wait_for()
    loaded = Path(f"/proc/{server.process.pid}/maps").read_text()
    assert "libtorch" not in loaded


def test_parameter_count_follows_the_sliders(open_page) -> None:
    """Harm: the number on the page is not that of the shape on the page."""
    page = open_page()
    page.get_by_text("33,391,290").first.wait_for()  # 12 x 384: fixtures/model_sizes.json, minilm-l12-h384
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


def test_terms_and_bars_light_up_together(open_page) -> None:
    """Harm: nobody can tell which term of the formula is which piece of the bar."""
    page = open_page()
    terms = {part: f".st-key-size_term_{part}" for part in ("attention", "ffn", "layer_norms")}
    page.locator(terms["attention"]).wait_for()
    page.locator(".part-attention").first.hover()
    expect(page.locator(terms["ffn"])).to_have_css("opacity", "0.3")
    expect(page.locator(".part-ffn").nth(1)).to_have_css("opacity", "0.3")
    expect(page.locator(terms["attention"])).to_have_css("opacity", "1")
    page.locator(terms["ffn"]).hover()  # and the other way round
    expect(page.locator(".part-attention").first).to_have_css("opacity", "0.3")
    expect(page.locator(".part-ffn").first).to_have_css("opacity", "1")
    page.get_by_role("heading", name="How big would it be?").hover()
    page.locator(".part-embeddings").first.focus()  # a keyboard comes there too
    expect(page.locator(terms["attention"])).to_have_css("opacity", "0.3")
    page.locator(".st-key-size_part").get_by_role("radio", name="attention").click()
    page.get_by_role("heading", name="How big would it be?").hover()
    expect(page.locator(terms["attention"])).to_have_css("opacity", "1")
    expect(page.locator(terms["layer_norms"])).to_have_css("opacity", "0.3")
    assert opacity(page, ".part-ffn") == pytest.approx(0.3)
    page.wait_for_url("**part=attention**")


def test_the_link_is_copied_and_opens_as_it_was(open_page) -> None:
    """Harm: a button that says 'Copied' and has copied nothing; or a link that opens something else."""
    page = open_page()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_label("Width, exact").fill("516")
    page.get_by_label("Width, exact").press("Enter")
    page.get_by_text("54,735,294").first.wait_for()
    name = page.get_by_label("Name", exact=True)
    name.fill("Ours & <b>theirs</b> ~ 50% é")
    name.press("Enter")
    settled(page)
    page.get_by_role("tab", name="Backwards").click()
    page.wait_for_url("**tab=backwards**")
    settled(page)
    page.get_by_role("button", name="Duplicate").click()
    page.wait_for_url("**at=2**")
    settled(page)
    button = page.frame_locator("iframe").first.get_by_role("button")
    button.click()
    expect(button).to_have_text("Copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link == page.url
    other = open_page(link.split("/", 3)[3])
    other.get_by_text("54,735,294").first.wait_for()
    expect(other.get_by_label("Name", exact=True)).to_have_value("Ours & <b>theirs</b> ~ 50% é 2")
    expect(other.get_by_role("tab", name="Backwards")).to_have_attribute("aria-selected", "true")
    assert main(other).get_by_text("Ours & <b>theirs</b> ~ 50% é").count() >= 2


def test_the_first_numbers_need_no_chart_library(open_page) -> None:
    """Harm: four numbers wait for a library that draws charts, a second on a good machine."""
    page = open_page(eager=True)
    page.locator(".st-key-size_term_heads").wait_for()
    loaded = "performance.getEntriesByType('resource').map(entry => entry.name).filter(name => /plotly/i.test(name))"
    assert page.evaluate(loaded) == []
    page.get_by_role("tab", name="What if").click()
    page.locator(".js-plotly-plot").wait_for()
    assert page.evaluate(loaded) != []


def test_verify_builds_the_real_models_elsewhere(open_page, server) -> None:
    """Harm: pressing Verify once makes the server carry torch for everybody, for good."""
    page = open_page()
    page.get_by_role("button", name="Verify with the real models").click()
    expect(page.get_by_text("equal ✓")).to_have_count(2)
    main(page).get_by_text("transformers' BertForMaskedLM").first.wait_for()
    assert "libtorch" not in Path(f"/proc/{server.process.pid}/maps").read_text()


def test_a_found_shape_is_one_click_away(open_page) -> None:
    """Harm: the answer to the question backwards has to be typed in."""
    page = open_page(f"{TWO}&tab=backwards&budget=11M")
    page.locator(".js-plotly-plot").wait_for()  # the chart below the list: now nothing moves any more
    page.get_by_role("button", name="Use", exact=True).first.click()
    page.get_by_text("11,365,626").first.wait_for()
    page.wait_for_function("""() => {  // while all is redrawn, the field of the old width is there too
        const fields = [...document.querySelectorAll('input[aria-label="Width, exact"]')];
        return fields.length == 1 && fields[0].value == "192";
    }""")


def test_a_keyboard_reaches_everything(open_page) -> None:
    """Harm: whoever has no mouse can look at the defaults."""
    page = open_page()
    page.get_by_role("slider", name="Layers").focus()
    page.keyboard.press("ArrowLeft")
    page.get_by_text("31,616,826").first.wait_for()  # 11 x 384
    settled(page)
    page.locator("summary", has_text="Everything else").focus()
    page.keyboard.press("Enter")
    field = page.get_by_label("Vocabulary", exact=True)
    field.fill("10000")
    field.press("Tab")
    page.wait_for_url("**vocab.10000**")
    settled(page)
    page.get_by_role("tab", name="Formula").focus()
    page.keyboard.press("ArrowRight")
    page.wait_for_url("**tab=tensors**")


def test_hostile_links_are_refused_in_words(open_page) -> None:
    """Harm: a link runs a script in the page, loads something from elsewhere, or shows a traceback."""
    evil = "<img src=x onerror=document.title='hacked'>![](http://127.0.0.2/x.png)$\\href{http://x}{y}$"
    pieces = f"~name.{quote(quote(evil, safe=''), safe='')}"
    page = open_page(
        f"?v=9&c=bert-base{pieces}&c={quote(evil)}~heads.7~hidden.{10**12}&device={quote(evil)}&tab=tensors"
    )
    alert = main(page).get_by_role("alert").first
    expect(alert).to_contain_text("version")
    expect(alert).to_contain_text("There is no preset")
    expect(alert).to_contain_text("1,000,000,000,000")
    page.locator(".js-plotly-plot").wait_for()
    assert page.title() != "hacked"
    assert page.locator("[data-testid=stMain] img").count() == 0
    assert "Traceback" not in main(page).inner_text()


@pytest.mark.parametrize(("tab", "dark"), [*((tab, False) for tab in TABS), ("formula", True), ("papers", True)])
def test_every_tab_fits_a_phone(open_page, tab, dark) -> None:
    """Harm: on a phone a table or a chart lies outside the screen."""
    page = open_page(f"{TWO}&c=albert-base&c=distilbert&tab={tab}&device=h100", dark=dark, width=390)
    expect(page.get_by_role("tab", selected=True)).to_be_attached()
    main(page).get_by_text(re.compile("66,985,530")).first.wait_for()
    assert no_sideways_scroll(page)


def test_on_a_phone_the_answer_stays_in_sight(open_page) -> None:
    """Harm: the number changes above the screen while the thumb is on the slider."""
    page = open_page(width=390)
    page.get_by_role("slider", name="Heads").wait_for()
    page.mouse.move(200, 500)
    page.mouse.wheel(0, 500)
    expect(page.locator(".st-key-size_now")).to_be_in_viewport()
    expect(page.locator(".st-key-size_now")).to_contain_text("33,391,290")
