"""bertviz made offline-safe: attention maps in, one standalone HTML document out.

bertviz writes for notebooks: its HTML loads three scripts from a CDN, prints the attention twice, puts tokens unescaped
into a script, and is black on white. This file calls bertviz and rewrites what it returns. Every rewrite checks that
the text it relies on is there, so an upgrade of bertviz fails with a message and never with a blank page.
"""

from __future__ import annotations

import contextlib
import html
import importlib.util
import json
import re
import unicodedata
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

MAX_TOKENS = 64  # 12 heads x 64 x 64 is 50,000 SVG lines, 4 s to draw; twice the tokens is four times that
DECIMALS = 3  # finer than an opacity the eye can tell apart, and a quarter of the document's size
MAX_LETTERS = 24  # of one token; the rest is cut, so that a long one cannot push the lines off the screen
BOX, MATRIX, SQUARE = 110, 120, 24  # px: a column of tokens (at least), the lines between two, a head's square

# The document can reach nothing outside itself. Inline scripts stay allowed because st.iframe appends one of its own,
# which measures the height; what keeps tokens from running is their escaping in _as_script_json.
# Paper and ink are those of .streamlit/config.toml, so that the frame has no edge.
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; base-uri 'none'; form-action 'none';
  script-src 'unsafe-inline'; style-src 'unsafe-inline'">
<title>{title}</title>
<style>
:root {{ color-scheme: {scheme}; --paper: light-dark(#ffffff, #15171b); --ink: light-dark(#14171c, #e7e8ea);
  --quiet: light-dark(#5f6675, #a3a8b8); --hover: light-dark(#e4e2dd, #3d434e); }}
body {{ margin: 0; padding: 4px 2px 8px; background: var(--paper); color: var(--ink);
  font: 14px/1.5 Helvetica, Arial, sans-serif; }}
p {{ margin: 0 0 8px; color: var(--quiet); font-size: 13px; }}
select {{ font: inherit; }}
#heads {{ display: flex; margin-top: 8px; }}
#heads button {{ flex: none; width: {square}px; height: 24px; padding: 0; border: 0; background: none;
  color: var(--quiet); font: inherit; font-size: 12px; cursor: pointer; }}
#heads button[aria-pressed="true"] {{ color: var(--ink); font-weight: bold; }}
#heads button:focus-visible {{ outline: 2px solid var(--ink); }}
svg {{ display: block; min-width: {width}px; }}
svg text {{ fill: var(--ink); stroke: var(--paper); stroke-width: 3px; paint-order: stroke; }}
svg rect.background {{ fill: var(--hover); }}
</style>
</head>
<body>
<main>
<p>Point at a token to see its attention alone. Click a head to switch it off or on, double-click to see only it.</p>
{markup}
</main>
{scripts}
</body>
</html>
"""

# Stands in for require.js, and gives every head its own colour: bertviz has ten and starts again. Hues are evenly
# spaced, and lightness alternates so that neighbours differ in more than hue.
SHIM = """
const palette = d3.range(HEADS).map(h => String(d3.hcl(20 + 360 * h / HEADS, 65, LIGHTNESS[h % 2])));
const modules = {jquery: jQuery, d3: Object.create(d3, {schemeCategory10: {value: palette}})};
const requirejs = (names, start) => start(...names.map(name => modules[name]));
"""

# bertviz's squares have no numbers and no keyboard: each button above them passes its clicks on to its square.
KEYBOARD = """
const squares = () => document.querySelectorAll("#vis > svg > g:last-of-type > rect");
const buttons = document.querySelectorAll("#heads button");
const showPressed = () => squares().forEach(
  (square, h) => buttons[h].setAttribute("aria-pressed", square.getAttribute("fill") === palette[h]));
for (const kind of ["click", "dblclick"]) {
  buttons.forEach((button, h) => button.addEventListener(kind, () => squares()[h].dispatchEvent(new MouseEvent(kind))));
  document.addEventListener(kind, showPressed);
}
showPressed();
"""


def head_view_html(
    attentions: np.ndarray,
    tokens: Sequence[str],
    *,
    dark: bool,
    title: str,
    layer: int | None = 0,
    heads: Sequence[int] | None = None,
    include_layers: Sequence[int] | None = None,
) -> str:
    """Draw bertviz's head view as one HTML document that needs no network, for `st.iframe`.

    The same input gives the same text, so a Streamlit rerun does not reload the frame.

    Args:
        attentions: probabilities, shape (layers, heads, pos, pos): row = the token that looks, column = looked at.
        tokens: `pos` tokens, at most MAX_TOKENS; they may contain any text.
        dark: light ink on dark paper.
        title: what the document is called, for screen readers and the browser's tab.
        layer: the layer shown first, counted from 0; None for the first included one.
        heads: the heads switched on at first, counted from 0; None for all.
        include_layers: the layers one can choose from; None for all. Fewer make a smaller document.

    Raises:
        ValueError: the attentions, tokens, layers or heads do not fit; says what was expected and what came.
        RuntimeError: the installed bertviz, mpld3 or XStatic-jQuery is not one this file can use.
    """
    _check_attentions(attentions, tokens)
    layers = _check_choice("include_layers", include_layers, attentions.shape[0])
    chosen_heads = _check_choice("heads", heads, attentions.shape[1])
    layer = layers[0] if layer is None else int(layer)
    if layer not in layers:
        raise ValueError(f"layer must be one of the included layers {layers}, got {layer}. Include it or pick another.")

    markup, view, params = _bertviz_parts(attentions, tokens, layer, chosen_heads, layers)
    texts = params["attention"][0]
    texts["left_text"] = texts["right_text"] = shown = [
        token if len(token) <= MAX_LETTERS else token[: MAX_LETTERS - 1] + "…" for token in texts["left_text"]
    ]
    box = max(BOX, *map(_text_width, shown))
    count = attentions.shape[1]
    patches = {
        "const BOXWIDTH = 110;": f"const BOXWIDTH = {box};",
        "const MATRIX_WIDTH = 115;": f"const MATRIX_WIDTH = {MATRIX};",
        "const CHECKBOX_SIZE = 20;": f"const CHECKBOX_SIZE = {SQUARE};",
        # Dividing by the number of heads leaves the lines of twelve heads too faint to see.
        ".val(layer).text(layer)": ".val(layer).text(layer + 1)",  # people count from 1, as the other pictures do
        "return d / activeHeads()": "return d / Math.sqrt(activeHeads())",
        # A head that is off goes towards the paper, dark or light.
        "c.l += increment;": "c.l = 0.22;" if dark else "c.l = 0.88;",
        "c.s -= increment;": "c.s = 0.35;",
        "PYTHON_PARAMS": _as_script_json(params),  # last, so that no token is taken for a marker
    }
    buttons = "".join(f'<button type="button" aria-label="Head {head}">{head}</button>' for head in range(1, count + 1))
    row = f'<div id="heads" role="group" aria-label="Heads">{buttons}</div>'
    markup = _patch(markup, {"Layer:": '<label for="layer">Layer</label>', "<div id='vis'>": row + "<div id='vis'>"})
    scripts = [
        _installed_script("xstatic.pkg.jquery", "data/jquery.min.js", "jQuery v3."),
        _installed_script("mpld3", "js/d3.v5.min.js", "d3js.org v5."),
        SHIM.replace("HEADS", str(count)).replace("LIGHTNESS", "[58, 78]" if dark else "[42, 62]"),
        _patch(view, patches),
        KEYBOARD,
    ]
    return PAGE.format(
        scheme="dark" if dark else "light",
        title=html.escape(title.encode("utf-8", "replace").decode()),
        width=max(2 * box + MATRIX, count * SQUARE),
        square=SQUARE,
        markup=markup,
        scripts="\n".join(f"<script>{script}</script>" for script in scripts),
    )


def _check_attentions(attentions: np.ndarray, tokens: Sequence[str]) -> None:
    if not isinstance(attentions, np.ndarray) or attentions.dtype.kind != "f":
        found = getattr(attentions, "dtype", type(attentions))
        raise ValueError(f"attentions must be a numpy array of floats, got {found}. Convert with .float().numpy().")
    shape = attentions.shape
    if len(shape) != 4 or shape[2] != shape[3] or 0 in shape:
        raise ValueError(f"attentions must be (layers, heads, pos, pos), got {shape}. Stack layers, drop batch.")
    if isinstance(tokens, str) or not all(isinstance(token, str) for token in tokens):
        raise ValueError("tokens must be a list of strings, one a position, got something else. Decode the ids first.")
    if len(tokens) != shape[2]:
        raise ValueError(f"expected {shape[2]} tokens, one a position, got {len(tokens)}. Pass all the model saw.")
    if len(tokens) > MAX_TOKENS:
        raise ValueError(f"expected at most {MAX_TOKENS} tokens, got {len(tokens)}. Shorten the text or use a heatmap.")
    low, high = float(attentions.min()), float(attentions.max())  # both are NaN when any entry is
    if not (low >= -1e-6 and high <= 1 + 1e-3):
        raise ValueError(f"attentions must be between 0 and 1, got {low:g} to {high:g}. Take them after the softmax.")


def _check_choice(name: str, chosen: Sequence[int] | None, count: int) -> list[int]:
    """Return the chosen indices, sorted; all of them for None."""
    indices = sorted({int(index) for index in (range(count) if chosen is None else chosen)})
    if not indices or indices[0] < 0 or indices[-1] >= count:
        raise ValueError(f"{name} must be some of 0 to {count - 1}, got {indices}. Count from 0, or pass None for all.")
    return indices


def _bertviz_parts(
    attentions: np.ndarray, tokens: Sequence[str], layer: int, heads: list[int], layers: list[int]
) -> tuple[str, str, dict[str, Any]]:
    """Call bertviz and take its HTML apart: markup, script with PYTHON_PARAMS where its data goes, and the data."""
    import torch
    from bertviz import head_view

    # float64, because a float32 of 0.123 prints as 0.12300000339746475
    rounded = torch.from_numpy(np.clip(np.round(attentions.astype(np.float64), DECIMALS), 0.0, 1.0))
    maps = [one_layer[None] for one_layer in rounded]
    view = head_view(maps, list(tokens), layer=layer, heads=heads, include_layers=layers, html_action="return").data

    pattern = (
        r'<script src="[^"]*"></script>(?P<markup>.*?id="(?P<root>bertviz-\w+)".*?)<script type="text/javascript">'
        r".*?(?P<start>requirejs\(.*?const params = )(?=\{)"  # what stands before requirejs( names the CDN
    )
    if not (found := re.match(pattern, view, re.DOTALL)):
        raise _unknown_bertviz("one root element and, after its CDN paths, a script that starts with its data")
    params, end = json.JSONDecoder().raw_decode(view, found.end())
    if not view.startswith("; // HACK:", end):
        raise _unknown_bertviz("a comment after its data")
    # bertviz replaces its marker in that comment too, so the rest of the line is the data once more.
    rest = view[view.index("\n", end) :].removesuffix("\n</script>\n")
    params["root_div_id"] = "bertviz"  # its random id would change the document, and reload it, on every rerun
    return found["markup"].replace(found["root"], "bertviz"), found["start"] + "PYTHON_PARAMS;" + rest, params


def _as_script_json(value: object) -> str:
    """JSON that cannot end the script it stands in, nor open a comment there: no `<`, nothing but ASCII."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _text_width(text: str) -> int:
    """Width in px of a token in bertviz's 15 px Helvetica, rather too wide than too narrow."""
    wide = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    broad, narrow = (len(re.findall(letters, text)) for letters in (r"[A-Zmw@%]", r"[fijlt.,;:!|\[\]()' ]"))
    return 14 + 9 * len(text) + 7 * wide + 6 * broad - 3 * narrow


@cache
def _installed_script(package: str, path: str, banner: str) -> str:
    """Read a JavaScript library out of an installed Python package, without importing the package."""
    text = ""
    with contextlib.suppress(ModuleNotFoundError, FileNotFoundError):  # both end in the message below
        spec = importlib.util.find_spec(package)
        text = Path(spec.origin).parent.joinpath(path).read_text("utf-8") if spec and spec.origin else ""
    if banner not in text[:200] or re.search(r"</script|<!--", text, re.IGNORECASE):
        expected = f"Expected {banner}x in {path} of the Python package {package}, safe to stand in a page"
        raise RuntimeError(f"{expected}, got something else. Run pip install -r requirements.txt")
    return text


def _patch(text: str, patches: dict[str, str]) -> str:
    """Replace each marker, in order; each must stand in the text exactly once."""
    for marker, replacement in patches.items():
        if text.count(marker) != 1:
            raise _unknown_bertviz(f"{marker!r} once")
        text = text.replace(marker, replacement)
    return text


def _unknown_bertviz(expected: str) -> RuntimeError:
    remedy = "Run pip install -r requirements.txt, or adapt app/attention_view.py to the new bertviz."
    return RuntimeError(f"Expected bertviz's head view to hold {expected}; the installed one differs. {remedy}")
