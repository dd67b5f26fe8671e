"""The head view: offline, safe from its tokens, and readable in light and dark."""

import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest

from app.examine.bertviz.head_view import MAX_TOKENS, head_view_html
from app.examine.bertviz.parts import imported_bertviz
from tests.fixtures.attention_documents import HOSTILE, TOKENS, data_of, probabilities

CONFIG = Path(__file__).parents[4] / ".streamlit" / "config.toml"


def draw(tokens=TOKENS, layers=2, head_count=12, **options) -> str:
    """Return the document of random attentions, light unless told otherwise."""
    return head_view_html(
        probabilities(layers, head_count, len(tokens)), tokens, **{"dark": False, "title": "T"} | options
    )


def rgb(page, selector: str, name: str) -> list[int]:
    """Return a computed colour of the first such element: red, green, blue, 0 to 255."""
    value = page.locator(selector).first.evaluate(f"element => getComputedStyle(element)['{name}']")
    return [int(number) for number in re.findall(r"\d+", value)[:3]]


def contrast(one: list[int], other: list[int]) -> float:
    """WCAG 2 contrast ratio of two sRGB colours, 1 to 21."""

    def luminance(colour: list[int]) -> float:
        linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in np.array(colour) / 255]
        return float(np.dot(linear, [0.2126, 0.7152, 0.0722]))

    low, high = sorted([luminance(one), luminance(other)])
    return (high + 0.05) / (low + 0.05)


def test_document_refers_to_nothing_outside() -> None:
    """Harm: on a stage without network the view is blank, and elsewhere a CDN learns who looks at what."""
    document = draw()
    assert not re.search(r"<(script|img|iframe|link|base|object)\b[^>]*\b(src|href|data)=", document)
    assert "cdnjs" not in document
    assert "@import" not in document
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', document)[1]
    assert policy.startswith("default-src 'none'")
    assert "http" not in policy


def test_document_names_its_language_and_title() -> None:
    """Harm: a screen reader announces an untitled frame in a guessed language; a title with markup breaks the page."""
    document = draw(title="Teacher & <b>student</b> \ud800")
    assert '<html lang="en">' in document
    assert "<title>Teacher &amp; &lt;b&gt;student&lt;/b&gt; ?</title>" in document


def test_same_input_gives_same_document() -> None:
    """Harm: bertviz's random id makes Streamlit reload the frame, and forget its layer, on every rerun."""
    assert draw() == draw()


def test_attention_is_kept_to_three_decimals_and_once() -> None:
    """Harm: a picture of other numbers than the model's, or a document eight times as large as it need be."""
    document = draw()
    (shown,) = data_of(document)["attention"]
    np.testing.assert_allclose(shown["attn"], probabilities(2, 12, 6), atol=0.5e-3 + 1e-6)
    assert re.findall(r"\d\.\d{4,}", document[document.index("const params = ") :][:20_000]) == []
    assert document.count('"attn"') == 1


def test_document_size_is_bounded() -> None:
    """Harm: a page that takes a minute to arrive over a conference's wireless network."""
    pos = MAX_TOKENS
    document = head_view_html(probabilities(12, 12, pos), ["token"] * pos, dark=False, title="T")
    assert len(document) < 4.5e6
    assert len(draw(["token"] * pos, layers=12, include_layers=[5], layer=5)) < 0.8e6


def test_included_layers_keep_their_numbers() -> None:
    """Harm: a person reads layer 1's attention under the name of layer 0."""
    data = data_of(draw(layers=4, include_layers=[3, 1], layer=3, heads=[0, 2]))
    assert (data["include_layers"], data["layer"], data["heads"]) == ([1, 3], 3, [0, 2])
    expected = probabilities(4, 12, 6)[[1, 3]]
    np.testing.assert_allclose(data["attention"][0]["attn"], expected, atol=0.5e-3 + 1e-6)
    assert data_of(draw(layers=4, include_layers=[2], layer=None))["layer"] == 2


def test_hostile_tokens_stay_text_in_the_script() -> None:
    """Harm: a word in somebody's text ends the script and runs as code in the app's own page."""
    harmless, hostile = draw(["a"] * len(HOSTILE)), draw(HOSTILE)
    for mark in ("<script", "</script", "<!--", "<img"):
        assert hostile.lower().count(mark) == harmless.lower().count(mark)
    assert "\u2028" not in hostile
    hostile.encode("utf-8")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"attentions": [[1.0]]}, "numpy array of floats"),
        ({"attentions": np.ones((2, 2, 6, 6), int)}, "numpy array of floats, got int64"),
        ({"attentions": np.ones((2, 6, 6), np.float32)}, r"\(layers, heads, pos, pos\), got \(2, 6, 6\)"),
        ({"attentions": np.ones((2, 2, 6, 5), np.float32)}, r"got \(2, 2, 6, 5\)"),
        ({"attentions": np.ones((0, 2, 6, 6), np.float32)}, r"got \(0, 2, 6, 6\)"),
        ({"attentions": np.full((2, 2, 6, 6), np.nan, np.float32)}, "between 0 and 1, got nan"),
        ({"attentions": np.full((2, 2, 6, 6), 3, np.float32)}, "between 0 and 1, got 3"),
        ({"attentions": np.full((2, 2, 6, 6), -1, np.float32)}, "between 0 and 1, got -1"),
        ({"tokens": TOKENS[:4]}, "expected 6 tokens, one a position, got 4"),
        ({"tokens": "abcdef"}, "list of strings"),
        ({"tokens": [1, 2, 3, 4, 5, 6]}, "list of strings"),
        ({"layer": 2}, r"layers \[0, 1\], got 2"),
        ({"layer": 0, "include_layers": [1]}, r"layers \[1\], got 0"),
        ({"include_layers": []}, "include_layers must be some of 0 to 1"),
        ({"include_layers": [2]}, "include_layers must be some of 0 to 1"),
        ({"heads": [-1]}, "heads must be some of 0 to 1"),
        ({"heads": []}, "heads must be some of 0 to 1"),
    ],
)
def test_input_that_does_not_fit_is_refused(change, message) -> None:
    """Harm: a blank frame, or a wrong picture, where a sentence could have said what is wrong."""
    good = {"attentions": probabilities(2, 2, 6), "tokens": TOKENS, "dark": False, "title": "T"}
    with pytest.raises(ValueError, match=message):
        head_view_html(**good | change)


def test_text_over_the_limit_is_refused() -> None:
    """Harm: a long text hangs the browser's tab while it draws a quarter of a million lines."""
    with pytest.raises(ValueError, match=f"at most {MAX_TOKENS} tokens, got {MAX_TOKENS + 1}. Shorten"):
        draw(["a"] * (MAX_TOKENS + 1), layers=1, head_count=1)


@pytest.mark.parametrize(
    ("theirs", "other"),
    [
        ("const params = ", "let params = "),
        ("; // HACK:", ";"),
        ("const BOXWIDTH = 110;", "const BOXWIDTH = 111;"),
        ("return d / activeHeads()", "return d"),
        ("<div id='vis'>", "<div id='view'>"),
        ("bertviz-", "viz-"),
    ],
)
def test_unknown_bertviz_fails_loudly(monkeypatch, theirs, other) -> None:
    """Harm: after an upgrade of bertviz the view is silently blank, or tokens are silently unescaped."""
    bertviz = imported_bertviz()
    original = bertviz.head_view

    def upgraded(*args, **options):
        result = original(*args, **options)
        assert theirs in result.data
        result.data = result.data.replace(theirs, other)
        return result

    monkeypatch.setattr(bertviz, "head_view", upgraded)
    with pytest.raises(RuntimeError, match="Expected bertviz's view to hold"):
        draw()


def test_import_loads_neither_torch_nor_streamlit() -> None:
    """Harm: the app's first page waits five seconds for libraries it does not use."""
    check = "import sys, app.examine.bertviz.head_view\n"
    check += "print({'torch', 'streamlit', 'bertviz', 'matplotlib'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", check], capture_output=True, text=True).stdout.strip() == "set()"


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_view_draws_tokens_and_lines(show, dark) -> None:
    """Harm: a blank frame in front of a room; ink that cannot be told from paper, or a frame with an edge."""
    page = show(draw(dark=dark))
    assert page.locator("#left text").all_text_contents() == TOKENS
    assert page.locator("#right text").all_text_contents() == TOKENS
    assert page.locator("#attention line").count() == 12 * 6 * 6
    opacities = page.locator("#attention line").evaluate_all(
        "all => all.map(line => +line.getAttribute('stroke-opacity'))"
    )
    expected = probabilities(2, 12, 6)[0].ravel() / np.sqrt(12)
    np.testing.assert_allclose(opacities, expected, atol=1e-3)

    paper, ink = rgb(page, "body", "backgroundColor"), rgb(page, "#left text", "fill")
    theme = tomllib.loads(CONFIG.read_text(encoding="utf-8"))["theme"]["dark" if dark else "light"]
    assert paper == list(bytes.fromhex(theme["backgroundColor"][1:]))
    assert ink == list(bytes.fromhex(theme["textColor"][1:]))
    assert page.evaluate("getComputedStyle(document.documentElement).colorScheme") == ("dark" if dark else "light")
    assert contrast(ink, paper) > 7
    assert contrast(ink, rgb(page, "#left rect.background", "fill")) > 4.5
    assert contrast(rgb(page, "p", "color"), paper) > 4.5
    colours = page.locator(".headAttention").evaluate_all(
        "all => all.map(head => head.querySelector('line').outerHTML)"
    )
    strokes = {re.search(r'stroke="rgb\(([^)]*)\)"', line)[1] for line in colours}
    assert len(strokes) == 12
    assert min(contrast([int(part) for part in stroke.split(",")], paper) for stroke in strokes) > 2


@pytest.mark.browser
@pytest.mark.parametrize("dark", [False, True])
def test_hostile_tokens_are_only_shown(show, dark) -> None:
    """Harm: a word in somebody's text runs as code in the app's own page."""
    page = show(draw(HOSTILE, dark=dark))
    shown = page.locator("#left text").all_text_contents()
    assert len(shown) == len(HOSTILE)
    assert shown[0].startswith("</script><script>")
    assert shown[4:6] == HOSTILE[4:6]
    assert page.evaluate("window.hacked") is None
    assert rgb(page, "body", "backgroundColor") != [255, 0, 0]
    assert page.locator("script").count() == 6
    assert page.locator("img").count() == 0


@pytest.mark.browser
def test_the_picture_can_be_saved_whole(show, tmp_path) -> None:
    """Harm: a button that does nothing, or a file that no program opens because a token in it reads as markup."""
    page = show(draw(HOSTILE, dark=True))
    with page.expect_download() as download:
        page.get_by_role("button", name="Save this picture as SVG").click()
    download.value.save_as(tmp_path / "saved.svg")
    root = ElementTree.parse(tmp_path / "saved.svg").getroot()
    texts = [part.text or "" for part in root.iter("{http://www.w3.org/2000/svg}text")]
    drawn = page.locator("#vis text").all_text_contents()
    assert texts == [text.replace("\ud800", "\ufffd") for text in drawn]  # no file can hold half a letter
    assert len(texts) == 2 * len(HOSTILE)
    assert float(root.get("width")) > 100
    assert "background:rgb(21, 23, 27)" in root.get("style")
    assert download.value.suggested_filename.endswith(".svg")


@pytest.mark.browser
def test_policy_lets_nothing_out(browser) -> None:
    """Harm: should a token ever run after all, it sends what is on the page to a stranger."""
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        address = f"http://127.0.0.1:{stranger.getsockname()[1]}/leak"
        page = browser.new_page()
        page.set_content(draw())
        page.evaluate("url => { new Image().src = url; fetch(url).catch(() => {}); }", address)
        page.wait_for_timeout(500)
        page.close()
        stranger.setblocking(False)
        with pytest.raises(BlockingIOError):  # nobody waits to be let in
            stranger.accept()


@pytest.mark.browser
def test_script_that_streamlit_appends_may_run(show) -> None:
    """Harm: under a tighter policy st.iframe cannot measure the document, and cuts it off at a default height."""
    page = show(draw() + "<script>window.measured = document.body.scrollHeight</script>")
    assert page.evaluate("window.measured") > 22 * len(TOKENS)


@pytest.mark.browser
def test_long_tokens_stay_inside_the_picture(show) -> None:
    """Harm: the start of a long word, the part one recognises it by, is cut off at the frame's edge."""
    page = show(draw(["unconstitutional", "WWWWWWWWWWWWWWWWWWWWWWWW", "語" * 20, "x" * 500]))
    frame = page.locator("#vis svg").bounding_box()
    for side in ("#left text", "#right text"):
        for text in page.locator(side).all():
            box = text.bounding_box()
            assert box["x"] >= frame["x"]
            assert box["x"] + box["width"] <= frame["x"] + frame["width"]
    assert page.locator("#left text").last.text_content() == "x" * 23 + "…"


@pytest.mark.browser
def test_layer_and_heads_can_be_chosen_by_keyboard(show) -> None:
    """Harm: who cannot use a mouse sees one layer and one set of heads and can change neither."""
    page = show(draw(layers=3, layer=1, heads=[0, 3]))
    assert page.get_by_label("Layer").input_value() == "1"
    pressed = page.locator("#heads button[aria-pressed=true]")
    assert pressed.all_text_contents() == ["1", "4"]

    page.get_by_role("button", name="Head 4", exact=True).press("Enter")
    assert pressed.all_text_contents() == ["1"]
    page.get_by_role("button", name="Head 12", exact=True).press("Space")
    assert pressed.all_text_contents() == ["1", "12"]

    page.get_by_label("Layer").select_option(label="3")
    opacities = page.locator("#attention line").evaluate_all(
        "all => all.map(line => +line.getAttribute('stroke-opacity'))"
    )
    expected = probabilities(3, 12, 6)[2] / np.sqrt(2)
    expected[1:11] = 0
    np.testing.assert_allclose(opacities, expected.ravel(), atol=1e-3)
    assert pressed.all_text_contents() == ["1", "12"]
