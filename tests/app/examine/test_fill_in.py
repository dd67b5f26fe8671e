"""Blanks on the examine page: hidden, filled in by both models, or refused in words. Run without a browser."""

import pytest

from app.examine.fill_in import hide_a_word


@pytest.mark.parametrize(
    ("sentence", "blanked"),
    [
        (
            "The girl near the boats washes herself. She is happy.",
            "The girl near the boats washes [MASK]. She is happy.",
        ),
        ("The cat sat on the carpet.", "The cat sat on the [MASK]."),
        ("123 ...", "[MASK]"),
    ],
)
def test_the_first_blank_asks_for_something(sentence, blanked) -> None:
    """Harm: the first thing that a visitor sees hidden is a word that could be any."""
    assert hide_a_word(sentence) == blanked


def blanks(page):
    """The playground's sentence."""
    return next(widget for widget in page.text_input if widget.label.startswith("Sentence with"))


def test_any_number_of_blanks_is_filled_by_both(page):
    """Harm: the second blank, or the student's side, is missing."""
    assert not page.exception
    assert "[MASK]" in blanks(page).value
    blanks(page).set_value("The [MASK] near the [MASK] washes [MASK].").run()
    assert not page.exception
    told = " ".join(markdown.value for markdown in page.markdown)
    assert "**Blank 3**" in told
    assert "of 3 blanks**" in told
    tables = [table.value for table in page.dataframe if list(table.value.columns)[1:] == ["probability"]]
    assert len(tables) == 6
    assert [list(table.columns)[0] for table in tables] == ["Teacher", "Student"] * 3
    assert all(0 <= p <= 1 for table in tables for p in table["probability"])


@pytest.mark.parametrize("text", ["no blank here", "", "[MASK] " * 200])
def test_a_sentence_that_cannot_be_filled_says_why(page, text):
    """Harm: a traceback for an empty line."""
    blanks(page).set_value(text).run()
    assert not page.exception
    assert page.warning
