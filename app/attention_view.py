"""bertviz made offline-safe: attention maps in, one standalone HTML document out.

bertviz writes for notebooks: its HTML loads three scripts from a CDN, prints the attention twice, puts tokens unescaped
into a script, and is black on white. This file calls bertviz and rewrites what it returns. Every rewrite checks that
the text it relies on is there, so an upgrade of bertviz fails with a message and never with a blank page.
"""

from __future__ import annotations

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
BOX_WIDTHS = (110, 230)  # px for one column of tokens: bertviz's own, and the most we widen it to

# The document can reach nothing outside itself. Inline scripts stay allowed because st.iframe appends one of its own,
# which measures the height; what keeps tokens from running is their escaping in _as_script_json.
CONTENT_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
)

# Streamlit's own light and dark. Lightness of the head colours alternates so that neighbours differ in more than hue.
LIGHT = {"paper": "#ffffff", "ink": "#31333f", "quiet": "#5f6372", "hover": "#e3e6ec", "lightness": [42, 62]}
DARK = {"paper": "#0e1117", "ink": "#fafafa", "quiet": "#a3a8b8", "hover": "#3a3d4a", "lightness": [58, 78]}

PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="{policy}">
<title>{title}</title>
<style>
:root {{ color-scheme: {scheme}; }}
body {{ margin: 0; padding: 4px 8px 8px; background: {paper}; color: {ink}; font: 14px/1.5 system-ui, sans-serif; }}
p {{ margin: 0 0 8px; color: {quiet}; font-size: 13px; }}
select {{ font: inherit; margin-right: 8px; }}
#heads {{ display: flex; margin-top: 10px; min-width: {width}px; }}
#heads button {{ width: {square}px; height: 24px; padding: 0; border: 0; background: none; color: {quiet};
  font: 11px/24px system-ui, sans-serif; cursor: pointer; }}
#heads button:hover, #heads button[aria-pressed="true"] {{ color: {ink}; }}
#heads button:focus-visible {{ outline: 2px solid {ink}; }}
svg {{ display: block; min-width: {width}px; }}
svg text {{ fill: {ink}; stroke: {paper}; stroke-width: 3px; paint-order: stroke; stroke-linejoin: round; }}
svg rect.background {{ fill: {hover}; }}
</style>
</head>
<body>
<main>
<p>Point at a token to see its attention alone. Click a head to switch it, double-click to keep only that one.</p>
{markup}
</main>
<script>{jquery}</script>
<script>{d3}</script>
<script>{shim}</script>
<script>{view}</script>
<script>{keyboard}</script>
</body>
</html>
"""

# Stands in for require.js. Evenly spaced hues replace bertviz's ten colours, which repeat from the eleventh head on.
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
        include_layers: the layers one can choose from; None for all. One layer of 12 makes the document 12 times smaller.

    Raises:
        ValueError: the attentions, tokens, layers or heads do not fit; says what was expected and what came.
        RuntimeError: the installed bertviz, mpld3 or XStatic-jQuery is not one this file can use.
    """
    _check_attentions(attentions, tokens)
    layers = _check_choice("include_layers", include_layers, attentions.shape[0])
    chosen_heads = _check_choice("heads", heads, attentions.shape[1])
    layer = layers[0] if layer is None else layer
    if layer not in layers:
        raise ValueError(f"layer must be one of the included layers {layers}, got {layer}. Include it or pick another.")

    markup, view, params = _bertviz_parts(attentions, tokens, layer, chosen_heads, layers)
    short = [_shorten(token) for token in params["attention"][0]["left_text"]]
    params["attention"][0].update(left_text=short, right_text=short)
    box = min(BOX_WIDTHS[1], max(BOX_WIDTHS[0], *(_text_width(token) for token in short)))
    view = _replace(view, f"const BOXWIDTH = {BOX_WIDTHS[0]};", f"const BOXWIDTH = {box};")
    view = _replace(view, "PYTHON_PARAMS", _as_script_json(params))
    matrix, square = _constant(view, "MATRIX_WIDTH"), _constant(view, "CHECKBOX_SIZE")

    count = attentions.shape[1]
    buttons = "".join(f'<button type="button" aria-label="Head {head}">{head}</button>' for head in range(count))
    markup = _replace(markup, "Layer: <select id", '<label for="layer">Layer</label> <select id')
    markup = _replace(markup, "<div id='vis'>", f'<div id="heads" role="group">{buttons}</div><div id=\'vis\'>')
    theme = DARK if dark else LIGHT
    return PAGE.format(
        **theme,
        policy=CONTENT_POLICY,
        title=html.escape(title.encode("utf-8", "replace").decode()),
        scheme="dark" if dark else "light",
        width=max(2 * box + matrix, count * square),
        square=square,
        markup=markup,
        jquery=_installed_script("xstatic.pkg.jquery", "data/jquery.min.js", "jQuery v3."),
        d3=_installed_script("mpld3", "js/d3.v5.min.js", "d3js.org v5."),
        shim=SHIM.replace("HEADS", str(count)).replace("LIGHTNESS", str(theme["lightness"])),
        view=view,
        keyboard=KEYBOARD,
    )


def _check_attentions(attentions: np.ndarray, tokens: Sequence[str]) -> None:
    shape = np.shape(attentions)
    if not isinstance(attentions, np.ndarray) or attentions.dtype.kind != "f":
        found = getattr(attentions, "dtype", type(attentions).__name__)
        raise ValueError(f"attentions must be a numpy array of floats, got {found}. Convert with .float().numpy().")
    if len(shape) != 4 or shape[2] != shape[3] or 0 in shape:
        raise ValueError(
            f"attentions must have shape (layers, heads, pos, pos), got {shape}. "
            "Stack the layers of one text and drop the batch axis."
        )
    if isinstance(tokens, str) or not all(isinstance(token, str) for token in tokens):
        raise ValueError("tokens must be a list of strings, one a position, got something else. Decode the ids first.")
    if len(tokens) != shape[2]:
        raise ValueError(
            f"tokens and attentions must agree: expected {shape[2]} tokens, got {len(tokens)}. "
            "Use the tokens the model saw, [CLS] and [SEP] included."
        )
    if len(tokens) > MAX_TOKENS:
        raise ValueError(
            f"The head view draws at most {MAX_TOKENS} tokens, got {len(tokens)}. "
            "Shorten the text, or look at it as a heatmap."
        )
    low, high = float(attentions.min()), float(attentions.max())  # both are NaN when any entry is
    if not (low >= -1e-6 and high <= 1 + 1e-3):
        raise ValueError(
            f"attentions must be probabilities between 0 and 1, got {low:g} to {high:g}. "
            "Take them after the softmax, from a model in eval mode."
        )


def _check_choice(name: str, chosen: Sequence[int] | None, count: int) -> list[int]:
    """Return the chosen indices, sorted; all of them for None."""
    indices = sorted(set(range(count) if chosen is None else chosen))
    if not indices or indices[0] < 0 or indices[-1] >= count:
        raise ValueError(
            f"{name} must name at least one of 0 to {count - 1}, got {indices}. Count from 0, or pass None for all."
        )
    return [int(index) for index in indices]


def _bertviz_parts(
    attentions: np.ndarray, tokens: Sequence[str], layer: int, heads: list[int], layers: list[int]
) -> tuple[str, str, dict[str, Any]]:
    """Call bertviz and take its HTML apart: markup, script with PYTHON_PARAMS where its data goes, and the data."""
    import torch
    from bertviz import head_view

    # float64, because a float32 of 0.123 prints as 0.12300000339746475
    rounded = torch.from_numpy(np.clip(np.round(attentions.astype(np.float64), DECIMALS), 0.0, 1.0))
    document = head_view(
        [one[None] for one in rounded],
        list(tokens),
        layer=layer,
        heads=heads,
        include_layers=layers,
        html_action="return",
    ).data

    found = re.match(
        r'<script src="[^"]*"></script>(?P<markup>.*?)<script type="text/javascript">'
        r".*?(?P<start>requirejs\(.*?const params = )",
        document,
        re.DOTALL,
    )
    root = re.search(r'id="(bertviz-[0-9a-f]+)"', found["markup"]) if found else None
    if not found or not root:
        raise _unknown_bertviz("its two scripts around one root element")
    params, end = json.JSONDecoder().raw_decode(document, found.end())
    if not document.startswith("; // HACK:", end):
        raise _unknown_bertviz("the second copy of the data in a comment")
    # The rest of that line is a comment in which bertviz, replacing its marker everywhere, printed the data again.
    rest = document[document.index("\n", end) :].removesuffix("\n</script>\n")
    params["root_div_id"] = "bertviz"  # its random id would change the document, and reload it, on every rerun
    return found["markup"].replace(root[1], "bertviz"), found["start"] + "PYTHON_PARAMS;" + rest, params


def _as_script_json(value: object) -> str:
    """JSON that cannot end the script it stands in, nor open a comment there: no `<`, nothing but ASCII."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _text_width(text: str) -> int:
    """Width in px of a token in bertviz's 15 px type, rather too wide than too narrow."""
    return 14 + sum(16 if unicodedata.east_asian_width(letter) in "WF" else 9 for letter in text)


def _shorten(token: str) -> str:
    """Cut a token that no column would hold, so that its start stays visible."""
    if _text_width(token) <= BOX_WIDTHS[1]:
        return token
    while _text_width(token) > BOX_WIDTHS[1] - 9:
        token = token[:-1]
    return token + "…"


@cache
def _installed_script(package: str, path: str, banner: str) -> str:
    """Read a JavaScript library out of an installed Python package, without importing the package."""
    try:
        spec = importlib.util.find_spec(package)
    except ModuleNotFoundError:
        spec = None
    file = Path(spec.origin).parent / path if spec and spec.origin else None
    text = file.read_text(encoding="utf-8") if file and file.is_file() else ""
    if banner not in text[:200] or re.search(r"</script|<!--", text, re.IGNORECASE):
        raise RuntimeError(
            f"Expected the Python package {package} to hold {banner}x at {path}, safe to stand in a page; it does not. "
            "Install the pinned versions: pip install -r requirements.txt"
        )
    return text


def _replace(text: str, marker: str, replacement: str) -> str:
    if text.count(marker) != 1:
        raise _unknown_bertviz(f"{marker!r} once")
    return text.replace(marker, replacement)


def _constant(script: str, name: str) -> int:
    found = re.search(rf"const {name} = (\d+);", script)
    if not found:
        raise _unknown_bertviz(f"a number {name}")
    return int(found[1])


def _unknown_bertviz(expected: str) -> RuntimeError:
    return RuntimeError(
        f"Expected bertviz's head view to hold {expected}; the installed bertviz differs. Install the pinned version "
        "(pip install -r requirements.txt), or adapt app/attention_view.py to the new one."
    )
