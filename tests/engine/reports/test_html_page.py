"""A page that needs nothing but itself, and that no text can break out of."""

import base64
import hashlib
import html
import html.parser
import json
import re
from pathlib import Path

import numpy as np
import pytest

from app.elements.theme import DARK, LIGHT
from engine.reports.attention_page import MAX_TOKENS, ModelAttention, attention_page, attention_section
from engine.reports.html_page import COLOURS, fact_table, html_document, island, tiles, write_page
from engine.reports.svg_curves import axis_number, line_chart, ticks

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>&\"'"


class Elements(html.parser.HTMLParser):
    """The elements of a page, as a browser would find them."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Notes an element that begins."""
        self.found.append((tag, dict(attrs)))


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


@pytest.mark.parametrize(("low", "high"), [(0.0, 1.0), (3.0, 3.0), (0.0, 0.0), (-7.2, 1e6), (1e-9, 2e-9), (99, 101)])
def test_ticks_enclose_what_is_drawn_in_even_steps(low: float, high: float) -> None:
    """Harm: a curve leaves its chart, or an axis has hundreds of numbers or none."""
    found = ticks(low, high)
    assert found[0] <= low <= high <= found[-1]
    assert 2 <= len(found) <= 9
    np.testing.assert_allclose(np.diff(found), found[1] - found[0], rtol=1e-3)


def test_a_chart_holds_its_points_where_they_belong() -> None:
    """Harm: a falling loss is drawn rising, a broken value breaks the drawing, a name runs as markup."""
    chart = line_chart({HOSTILE: [(0, 4.0), (1, float("nan")), (2, 1.0)]}, "Loss", "step", "nats", {"teacher": 2.0})
    elements = Elements(chart).found
    assert {tag for tag, _ in elements} == {
        "figure",
        "strong",
        "svg",
        "path",
        "text",
        "circle",
        "title",
        "figcaption",
        "span",
    }
    dots = [(float(a["cx"] or 0), float(a["cy"] or 0)) for tag, a in elements if tag == "circle"]
    assert len(dots) == 2
    assert dots[0][0] < dots[1][0]
    assert dots[0][1] < dots[1][1]  # y grows downwards: 4 stands above 1
    assert "nan" not in chart
    assert line_chart({"a": []}, "", "", "") == ""
    assert axis_number(1234567) == "1,234,567"


def test_attention_is_in_the_page_to_the_byte() -> None:
    """Harm: a head's map is shown under another head, transposed, or coarser than said."""
    rng = np.random.default_rng(0)
    maps = rng.dirichlet(np.ones(5), size=(3, 2, 5))
    markup, script = attention_section(
        [ModelAttention("teacher", HOSTILE, [HOSTILE, "a", "b", "c", "d"], maps)], (2, 1)
    )
    found = re.search(r'id="attention">(.*?)</script>', markup, re.DOTALL)
    assert found
    data = json.loads(found[1])
    model = data["models"][0]
    levels = np.frombuffer(base64.b64decode(model["maps"]), np.uint8).reshape(3, 2, 5, 5) / 255
    np.testing.assert_allclose(levels, maps, atol=0.5 / 255 + 1e-9)
    assert (model["layers"], model["heads"], data["open"]) == (3, 2, {"layer": 2, "head": 1})
    assert model["tokens"][0] == HOSTILE
    assert "http" not in script.replace("http://www.w3.org/2000/svg", "")  # a name, not an address


def test_attention_that_does_not_fit_is_refused() -> None:
    """Harm: a page of thousands of tokens hangs the browser, or a wrong array draws a wrong picture."""
    look = ModelAttention("teacher", "t", ["a"] * 3, np.zeros((1, 1, 3, 4)))
    with pytest.raises(ValueError, match="must be"):
        attention_section([look])
    with pytest.raises(ValueError, match=f"1 to {MAX_TOKENS}"):
        attention_section([ModelAttention("teacher", "t", ["a"] * 99, np.zeros((1, 1, 99, 99)))])
    with pytest.raises(ValueError, match="one or two"):
        attention_section([])
    assert (
        len(attention_page([ModelAttention("teacher", "t", ["a"] * 32, np.ones((12, 12, 32, 32)) / 32)] * 2, ""))
        < 1.5e6
    )
