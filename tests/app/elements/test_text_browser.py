"""A stranger's words in runs, cards, events, experiments, names and links: read in a real browser, and only read."""

from urllib.parse import quote

import pytest
from playwright.sync_api import expect

from tests.app.conftest import started
from tests.fixtures.browsing import main, settled
from tests.fixtures.hostile_runs import ADDRESS, HOST, PAYLOAD, write_hostile_runs


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The app over a folder of hostile runs."""
    folder = tmp_path_factory.mktemp("hostile")
    (folder / "runs").mkdir()
    write_hostile_runs(folder / "runs")
    yield from started(folder)


def is_harmless(page, *, shows: bool = True) -> None:
    """Nothing of what was written is a link, a picture or markup; and it is there to be read."""
    if shows:
        expect(page.locator("body")).to_contain_text(HOST)
    for frame in page.frames:  # reports and buttons are frames of their own
        live = frame.evaluate(
            """host => [...document.querySelectorAll('a, img, iframe, script, link, source, object, form')]
                .map(it => it.getAttribute('href') || it.getAttribute('src') || it.getAttribute('xlink:href') || '')
                .filter(it => it.includes(host) || it.startsWith('javascript:') || it.startsWith('mailto:'))""",
            HOST,
        )
        assert live == [], (page.url, live)


PAGES = {
    "a finished run": (f"watch?run={ADDRESS}", True),
    "a failed run": ("watch?run=failed", True),
    "a run that never began": ("watch?run=preparing", True),
    "an unreadable run": ("watch?run=unreadable", False),
    "a run that is not there": (f"watch?run={quote(PAYLOAD)}&over={quote(PAYLOAD)}", True),
    "a student": (f"examine?run={ADDRESS}&text={quote(PAYLOAD)}&second={quote(PAYLOAD)}&view={quote(PAYLOAD)}", False),
    "an experiment that is not there": (f"compare?experiment={quote(PAYLOAD)}", True),
    "an experiment of one's own": ("compare?experiment=own%3Afamily", True),
    "own runs": ("compare?experiment=My%20runs", True),
    "a size": (f"?v=1&c=bert-base~name.{quote(PAYLOAD)}&c={quote(PAYLOAD)}&tab={quote(PAYLOAD)}", True),
    "build": (f"build?teacher={quote(PAYLOAD)}", False),
}


@pytest.mark.parametrize("name", PAGES)
def test_nothing_that_a_stranger_wrote_is_live(open_page, server, name: str) -> None:
    """Harm: whoever opens a link or a run from elsewhere tells a stranger's server so, or is led there; any visitor
    learns how the server's disk is laid out."""
    path, shows = PAGES[name]
    page = open_page(path)
    is_harmless(page, shows=shows)
    assert str(server.runs.parent) not in page.locator("body").inner_text()


def test_names_that_are_typed_are_only_read(open_page) -> None:
    """Harm: a teacher's or a corpus's name out of a mail makes the browser fetch what the mail's author wants."""
    page = open_page("build")
    alerts = main(page).get_by_test_id("stAlert")
    teacher = main(page).get_by_label("Or another teacher", exact=True)
    for kind in ("local:", "run:"):
        teacher.fill(kind + PAYLOAD[:200])
        teacher.press("Enter")
        expect(alerts.filter(has_text="There is no run" if kind == "run:" else "folder")).to_have_count(1)
        settled(page)
        is_harmless(page, shows=kind == "run:")  # of a path only the last part is told
    teacher.fill("")
    teacher.press("Enter")
    expect(alerts).to_have_count(0)
    corpus = main(page).get_by_label("Corpus", exact=True)
    corpus.fill("file:" + PAYLOAD[:200])
    corpus.press("Enter")
    expect(alerts).not_to_have_count(0)
    settled(page)
    is_harmless(page, shows=False)
