"""bertviz's head view made offline-safe: attention maps in, one standalone HTML document out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.examine.bertviz.parts import (
    bertviz_document,
    bertviz_parts,
    check_attentions,
    check_indices,
    imported_bertviz,
    replace_once,
    text_width,
)
from engine.reports.html_page import script_json

MAX_TOKENS = 64  # 12 heads x 64 x 64 is 50,000 SVG lines, 4 s to draw; twice the tokens is four times that
BOX, MATRIX, SQUARE = 110, 120, 24  # px: a column of tokens (at least), the lines between two, a head's square
HINT = "Point at a token to see its attention alone. Click a head to switch it off or on, double-click to see only it."

STYLE = """#heads { display: flex; margin-top: 8px; }
#heads button { flex: none; width: %dpx; height: 24px; padding: 0; border: 0; background: none;
  color: var(--quiet); font: inherit; font-size: 12px; cursor: pointer; }
#heads button[aria-pressed="true"] { color: var(--ink); font-weight: bold; }
#heads button:focus-visible { outline: 2px solid var(--ink); }
"""

# Every head gets its own colour: hues are evenly spaced, and lightness alternates so that neighbours differ in more.
PALETTE = "const palette = d3.range(HEADS).map(h => String(d3.hcl(20 + 360 * h / HEADS, 65, LIGHTNESS[h % 2])));"

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
    second: int | None = None,
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
        second: where the second sentence of a pair begins, to choose who looks at whom; it doubles the document.

    Raises:
        ValueError: the attentions, tokens, layers or heads do not fit; says what was expected and what came.
        RuntimeError: the installed bertviz, or a script in assets/scripts, is not one this file can use.
    """
    check_attentions(attentions, tokens, MAX_TOKENS, second)
    layers = check_indices("include_layers", include_layers, attentions.shape[0])
    chosen_heads = check_indices("heads", heads, attentions.shape[1])
    layer = layers[0] if layer is None else int(layer)
    if layer not in layers:
        raise ValueError(f"layer must be one of the included layers {layers}, got {layer}. Include it or pick another.")

    more = {"layer": layer, "heads": chosen_heads, "include_layers": layers}
    markup, view, params = bertviz_parts(imported_bertviz().head_view, attentions, tokens, second, **more)
    box = max(BOX, *map(text_width, params["attention"][0]["left_text"]))
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
        "PYTHON_PARAMS": script_json(params),  # last, so that no token is taken for a marker
    }
    buttons = "".join(f'<button type="button" aria-label="Head {head}">{head}</button>' for head in range(1, count + 1))
    row = f'<div id="heads" role="group" aria-label="Heads">{buttons}</div>'
    marks = {"Layer:": '<label for="layer">Layer</label>', "<div id='vis'>": row + "<div id='vis'>"}
    if second is not None:
        marks["Attention:"] = '<label for="filter">Attention</label>'
    return bertviz_document(
        replace_once(markup, marks),
        replace_once(view, patches),
        dark=dark,
        title=title,
        hint=HINT,
        width=max(2 * box + MATRIX, count * SQUARE),
        palette=PALETTE.replace("HEADS", str(count)).replace("LIGHTNESS", "[58, 78]" if dark else "[42, 62]"),
        style=STYLE % SQUARE,
        after=KEYBOARD,
    )
