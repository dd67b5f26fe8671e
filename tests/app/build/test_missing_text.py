"""A text that is not on this machine, on the build page: fetched on the spot, or the microworld in its place."""

import nltk
import pytest

from app.elements.text import escape_markdown
from app.session import caches
from engine.text import nltk_data
from tests.fixtures.build_page import opened
from tests.fixtures.nltk_server import NltkServer, use
from tests.fixtures.page_reading import by_label


@pytest.fixture
def page(page, monkeypatch, tmp_path):
    """The build page of a machine without any text of NLTK's."""
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path / "nltk")])
    monkeypatch.setattr(nltk_data, "reachable", lambda url: False)
    caches._fetched_texts.clear()
    by_label(page.text_input, "Corpus").set_value("nltk:brown").run()
    return page


@pytest.fixture
def server(page, monkeypatch, tmp_path):
    """Where the collection brown can be had."""
    made = NltkServer("brown")
    use(made, monkeypatch, tmp_path / "nltk")
    yield made
    made.shutdown()
    made.server_close()


def labels(page) -> list[str]:
    """What the buttons say."""
    return [button.label for button in page.button]


def fetched(page):
    """The page when the download that it began has ended."""
    caches.fetching(("brown",)).join()
    return page.run()


def test_without_a_network_there_is_a_way_on(page):
    """Harm: the page of a fresh machine says that something is missing, and leaves it at that."""
    assert not page.exception
    assert "Under *Corpus* you can download it, or take the microworld." in page.info[0].value
    assert by_label(page.button, "Start").disabled
    by_label(page.button, "Download").click().run()
    fetched(page)
    assert not page.exception
    assert page.error[0].value == escape_markdown(
        "The NLTK corpus brown could not be fetched: there is no network to NLTK's collection."
    )
    assert page.code[0].value == "python -m nltk.downloader brown"
    assert "Try again" in labels(page)
    by_label(page.button, "Use the microworld").click().run()
    assert (len(page.exception), len(page.error)) == (0, 0)
    assert by_label(page.text_input, "Corpus").value == "microworld"
    assert not {"Try again", "Download", "Use the microworld"} & set(labels(page))
    assert not by_label(page.button, "Start").disabled


def test_a_text_is_fetched_where_it_is_missing(page, server):
    """Harm: the button works only as long as nobody touches the page, or the page never hears that it has ended."""
    server.open.clear()
    by_label(page.button, "Download").click().run()
    assert by_label(page.button, "Download").disabled
    by_label(page.number_input, "Seed").set_value(3).run()  # a download goes on while the form is filled in
    server.open.set()
    fetched(page)
    assert (len(page.exception), len(page.error)) == (0, 0)
    assert not {"Try again", "Download"} & set(labels(page))
    assert not by_label(page.button, "Start").disabled
    assert server.fetches() == ["brown"]


def test_two_sessions_see_one_download(page, server, monkeypatch, tmp_path):
    """Harm: two tabs, two downloads; or somebody reads of a failure that was another one's an hour ago."""
    server.open.clear()
    server.cut = 0.8
    other = opened(monkeypatch, tmp_path)
    by_label(other.text_input, "Corpus").set_value("nltk:brown").run()
    by_label(page.button, "Download").click().run()
    other.run()
    assert by_label(other.button, "Download").disabled
    server.open.set()
    fetched(page)
    other.run()
    assert "Try again" in labels(page)
    assert ("Download" in labels(other), bool(other.error)) == (True, False)
    server.cut = 1.0
    for one in (page, other):
        by_label(one.button, "Try again" if one is page else "Download").click().run()
    fetched(page)
    other.run()
    assert not {"Try again", "Download"} & {*labels(page), *labels(other)}
    assert server.fetches() == ["brown", "brown"]


def test_what_is_offered_is_what_is_missing(page, server):
    """Harm: a name that is no corpus is offered as a download, or one text of several that are missing is forgotten."""
    for name, offered in {"nltk:nosuch": False, "microworld": False, "": False, "microworld, nltk:brown": True}.items():
        by_label(page.text_input, "Corpus").set_value(name).run()
        assert ("Download" in labels(page)) == offered, name
        assert not page.exception
