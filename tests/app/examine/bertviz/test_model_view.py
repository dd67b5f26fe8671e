"""The model view: offline, safe from its tokens, reachable by keyboard; pairs in both of bertviz's views."""

import re

import numpy as np
import pytest

from app.examine.bertviz.head_view import head_view_html
from app.examine.bertviz.model_view import MAX_TOKENS, model_view_html
from tests.fixtures.attention_documents import HOSTILE, TOKENS, data_of, probabilities


def draw(tokens=TOKENS, layers=2, heads=3, **options) -> str:
    """The document of random attentions, light unless told otherwise."""
    return model_view_html(probabilities(layers, heads, len(tokens)), tokens, **{"dark": False, "title": "T"} | options)


def test_it_refers_to_nothing_outside_and_stays_the_same() -> None:
    """Harm: blank without a network, and reloaded at every rerun."""
    document = draw()
    assert not re.search(r"<(script|img|iframe|link|base|object)\b[^>]*\b(src|href|data)=", document)
    assert "cdnjs" not in document
    assert "console.log" not in document[document.index("const params = ") :]
    assert document == draw()


@pytest.mark.parametrize("second", [None, 3])
def test_hostile_tokens_stay_text(second) -> None:
    """Harm: a word in somebody's text ends the script and runs as code in the app's own page."""
    harmless, hostile = draw(["a"] * len(HOSTILE), second=second), draw(HOSTILE, second=second)
    for mark in ("<script", "</script", "<!--", "<img"):
        assert hostile.lower().count(mark) == harmless.lower().count(mark)
    hostile.encode("utf-8")


def test_what_is_sent_is_bounded() -> None:
    """Harm: a page that takes a minute to arrive; and a pair that takes twice as long as one text."""
    pos = MAX_TOKENS
    for second in (None, pos // 2):
        document = draw(["token"] * pos, layers=12, heads=12, second=second)
        assert len(document) < 1.5e6
        (whole, *parts) = data_of(document)["attention"]
        np.testing.assert_allclose(whole["attn"], probabilities(12, 12, pos), atol=0.5e-3 + 1e-6)
        assert [part["attn"] for part in parts] == [None] * (4 if second else 0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"tokens": ["a"] * (MAX_TOKENS + 1)}, f"at most {MAX_TOKENS} tokens, got {MAX_TOKENS + 1}. Shorten"),
        ({"second": 6}, "second must lie between 1 and 5, got 6"),
        ({"second": 0}, "second must lie between 1 and 5, got 0"),
    ],
)
def test_what_does_not_fit_is_refused(options, message) -> None:
    """Harm: a browser that hangs, or a blank frame."""
    with pytest.raises(ValueError, match=message):
        draw(**options)
    if "second" in options:
        with pytest.raises(ValueError, match=message):
            head_view_html(probabilities(2, 2, 6), TOKENS, dark=False, title="T", **options)


@pytest.mark.browser
def test_every_head_is_drawn_and_opens_by_keyboard(show) -> None:
    """Harm: who cannot use a mouse sees pictures too small to read; a pair shows the wrong part of its attention."""
    tokens = [*TOKENS[:3], HOSTILE[0], "b", "c"]
    maps = probabilities(2, 3, 6)
    page = show(model_view_html(maps, tokens, dark=True, title="T", second=3))
    heads = page.locator("#vis rect[role=button]")
    assert heads.count() == 6
    assert page.locator("#vis line").count() == 6 * 36
    heads.nth(5).focus()
    page.keyboard.press("Enter")
    assert page.locator("#vis text.detail").text_content() == "Layer 2, head 3"
    page.select_option("#filter", label="Sentence A -> Sentence B")
    assert page.locator("#vis line").count() == 6 * 9
    heads.nth(0).focus()
    page.keyboard.press(" ")
    assert page.locator("#vis text.token").all_text_contents() == [*tokens[:3], tokens[3][:23] + "…", "b", "c"]
    shown = page.locator("#vis line").evaluate_all(
        "all => all.slice(0, 9).map(it => +it.getAttribute('stroke-opacity'))"
    )
    np.testing.assert_allclose(shown, maps[0, 0, :3, 3:].ravel(), atol=1e-3)
