"""bertviz's model view made offline-safe: every head of a model at once, as lines between words."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from app.examine.bertviz.parts import bertviz_document, bertviz_parts, check_attentions, imported_bertviz, replace_once
from engine.reports.html_page import script_json

MAX_TOKENS = 32  # 12 layers x 12 heads x 32 x 32 is 150,000 SVG lines, 4 s to draw; 64 tokens took 17 s
WIDTH = 970  # px, bertviz's
HINT = "A picture is a head: words on its left look at those on its right. Click one, or press Enter, to see it large."
STYLE = "#vis { overflow-x: auto; } #vis rect:focus-visible { outline: 2px solid var(--ink); }\n"

# One colour a layer, as evenly spaced hues: bertviz has ten and starts again.
PALETTE = "const palette = d3.range(LAYERS).map(l => String(d3.hcl(20 + 360 * l / LAYERS, 65, LIGHTNESS[l % 2])));"


def model_view_html(
    attentions: np.ndarray, tokens: Sequence[str], *, dark: bool, title: str, second: int | None = None
) -> str:
    """Draw bertviz's model view as one HTML document that needs no network, for `st.iframe`.

    Args:
        attentions: probabilities, shape (layers, heads, pos, pos): row = the token that looks, column = looked at.
        tokens: `pos` tokens, at most MAX_TOKENS; they may contain any text.
        dark: light ink on dark paper.
        title: what the document is called, for screen readers and the browser's tab.
        second: where the second sentence of a pair begins, to choose who looks at whom; it doubles the document.

    Raises:
        ValueError: the attentions or tokens do not fit; says what was expected and what came.
        RuntimeError: the installed bertviz, or a script in assets/scripts, is not one this file can use.
    """
    check_attentions(attentions, tokens, MAX_TOKENS, second)
    mode = "dark" if dark else "light"
    markup, view, params = bertviz_parts(imported_bertviz().model_view, attentions, tokens, second, display_mode=mode)
    layers = attentions.shape[0]
    patches = {
        # people count from 1, as the other pictures do
        ".text(config.heads[i])": ".text(config.heads[i] + 1)",
        ".text(config.layers[i])": ".text(config.layers[i] + 1)",
        "'Layer ' + config.layers[layerIndex] + \", Head \" + config.heads[headIndex]": (
            "'Layer ' + (config.layers[layerIndex] + 1) + ', head ' + (config.heads[headIndex] + 1)"
        ),
        "LAYER_COLORS[config.layers[layer] % 10]": f"LAYER_COLORS[config.layers[layer] % {layers}]",
        "'background': 'white'": "'background': '#ffffff'",
        "'background': 'black'": "'background': '#15171b'",
        'console.log("x", x, y)': "",
        "const DETAIL_WIDTH = 300;": "const DETAIL_WIDTH = 400;",  # room for tokens of a dozen letters
        "const DETAIL_BOX_WIDTH = 80;": "const DETAIL_BOX_WIDTH = 130;",
        # The keyboard reaches every head. See-through by its fill alone, or the ring around it could not be seen.
        '.style("opacity", 0);': (
            '.style("fill-opacity", 0).attr("tabindex", 0).attr("role", "button")'
            '.attr("aria-label", `Layer ${config.layers[layerIndex] + 1}, head ${config.heads[headIndex] + 1}`)'
            '.on("keydown", function () { if (["Enter", " "].includes(d3.event.key)) {'
            ' d3.event.preventDefault(); this.dispatchEvent(new MouseEvent("click")); } });'
        ),
        "PYTHON_PARAMS": script_json(params),  # last, so that no token is taken for a marker
    }
    return bertviz_document(
        replace_once(markup, {} if second is None else {"Attention:": '<label for="filter">Attention</label>'}),
        replace_once(view, patches),
        dark=dark,
        title=title,
        hint=HINT,
        width=WIDTH,
        palette=PALETTE.replace("LAYERS", str(layers)).replace("LIGHTNESS", "[58, 78]" if dark else "[42, 62]"),
        style=STYLE,
    )
