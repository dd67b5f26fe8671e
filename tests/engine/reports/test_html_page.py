"""A page that needs nothing but itself, and that no text can break out of."""

import base64
import hashlib
import json
import re
from pathlib import Path

import pytest

from app.elements.theme import DARK, LIGHT
from engine.reports.html_page import COLOURS, fact_table, html_document, island, tiles, write_page
from tests.fixtures.pages import HOSTILE, Elements


def test_the_document_has_the_colours_of_the_app() -> None:
    """Harm: teacher and student change their colours when a page is saved."""
    for index, colours in enumerate((LIGHT, DARK)):
        for name in ("paper", "ink", "quiet", "grid", "empty", "teacher", "student"):
            assert COLOURS[name][index] == getattr(colours, name)


def test_only_the_scripts_given_may_run() -> None:
    """Harm: a page that somebody hands in runs what a sentence brought along."""
    page = html_document(
        HOSTILE, [fact_table({HOSTILE: HOSTILE}), tiles([(HOSTILE, HOSTILE, HOSTILE)])], ["let a = 1;"]
    )
    elements = Elements(page).found
    assert [tag for tag, _ in elements].count("script") == 1
    assert "img" not in [tag for tag, _ in elements]
    assert not any(name.startswith("on") for _, attributes in elements for name in attributes)
    policy = next(a["content"] for tag, a in elements if tag == "meta" and "http-equiv" in a)
    digest = base64.b64encode(hashlib.sha256(b"let a = 1;").digest()).decode()
    assert policy is not None
    assert f"script-src 'sha256-{digest}';" in policy
    assert policy.startswith("default-src 'none'")
    assert "script-src 'none'" in html_document("quiet", [])


def test_values_for_a_script_cannot_end_their_element() -> None:
    """Harm: a token called </script> turns the rest of the data into a page of its own."""
    made = island("data", {"text": HOSTILE})
    assert made.count("<") == 2
    assert json.loads(re.sub("<[^>]*>", "", made)) == {"text": HOSTILE}


def test_a_page_is_written_whole_or_refused_in_words(tmp_path: Path) -> None:
    """Harm: an older report is half overwritten, or a traceback answers a wrong folder."""
    target = tmp_path / "page.html"
    write_page(target, "first")
    write_page(target, "second é")
    assert target.read_text(encoding="utf-8") == "second é"
    assert [path.name for path in tmp_path.iterdir()] == ["page.html"]
    with pytest.raises(ValueError, match="cannot be written"):
        write_page(tmp_path, "a folder")
    with pytest.raises(ValueError, match="cannot be written"):
        write_page(tmp_path / "not there" / "page.html", "no folder")
