"""Texts that the page's link keeps. Run without a browser."""

from streamlit.testing.v1 import AppTest

from app.session import caches
from tests.fixtures.examine_page import PAGE


def test_a_link_brings_the_sentence_along(runs, ids, monkeypatch) -> None:
    """Harm: a presenter shares what is on the screen, and others see another sentence, or a link breaks the page."""
    monkeypatch.setattr(caches, "RUNS", runs)
    hostile = "the boy sleeps . </script>" + "x" * 5000
    for sent, kept in (("the boy sleeps .", "the boy sleeps ."), (hostile, hostile[:2000])):
        page = AppTest.from_file(PAGE, default_timeout=300)
        page.query_params.update({"run": ids["wid"], "text": sent, "second": "she is happy ."})
        page.run()
        assert not page.exception
        assert page.text_input(key="sentence_microworld").value == kept
        assert page.text_input(key="second_microworld").value == "she is happy ."
    page.text_input(key="sentence_microworld").set_value("the cat sleeps .").run()
    assert page.query_params["text"] == "the cat sleeps ."
    page.text_input(key="second_microworld").set_value("").run()
    assert "second" not in page.query_params
