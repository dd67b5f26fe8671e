"""Text on the build page: looked at before it is used, and never markup."""

import pytest

from app.build.corpus import masked_rows
from app.elements.theme import DARK, LIGHT
from tests.fixtures.builders import tokenizer
from tests.fixtures.page_reading import by_label


def test_a_text_is_looked_at_before_it_is_used(page, tmp_path):
    """Harm: an hour of training on a file of which every word is unknown."""
    lines = [f"The {noun} sleeps at the barn. She is happy." for noun in list(tokenizer().get_vocab())[10:200]]
    (tmp_path / "mine.txt").write_text("\n".join(lines))
    by_label(page.text_input, "Corpus").set_value(f"file:{tmp_path / 'mine.txt'}")
    by_label(page.selectbox, "Hidden together").set_value("ngram")
    by_label(page.toggle, "Look at the corpus").set_value(True).run()
    assert not page.exception
    assert not page.error
    shown = {metric.label: metric.value for metric in page.metric}
    assert shown["Documents"] == "190"
    assert int(shown["Held out"]) > 5
    by_label(page.text_input, "Corpus").set_value("file:/etc/passwd.txt").run()
    assert "outside of the folders" in page.error[0].value
    by_label(page.text_input, "Corpus").set_value(f"file:{tmp_path / 'mine.txt'}").run()
    by_label(page.button, "Start").click().run()
    assert (page.started[0]["masking"], page.started[0]["corpus"]) == ("ngram", f"file:{tmp_path / 'mine.txt'}")


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_tokens_are_text_and_not_markup(colours):
    """Harm: a corpus that runs a script on the page of whoever looks at it."""
    html = masked_rows([[("<script>", "plain", "x"), ("[MASK]", "hidden", '"><img src=x onerror=1>')]], colours)
    assert "<script>" not in html
    assert "<img" not in html
    assert "&lt;script&gt;" in html
    assert html.count("<span") == 4  # three in the legend, one token
