"""bertviz taken apart: its data, its markup and its script, to be put together into a document that is safe.

bertviz writes for notebooks: its HTML loads three scripts from a CDN, prints the attention twice, puts tokens unescaped
into a script, and is black on white. Every rewrite of what it returns checks that the text it relies on is there, so an
upgrade of bertviz fails with a message and never with a blank page.
"""

from __future__ import annotations

import hashlib
import html
import json
import re
import sys
import threading
import types
import unicodedata
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from engine.settings.project import ASSETS
from engine.storage.json_file import read_json_object

DECIMALS = 3  # finer than an opacity the eye can tell apart, and a quarter of the document's size
MAX_LETTERS = 24  # of one token; the rest is cut, so that a long one cannot push the lines off the screen

_importing = threading.Lock()

# The document can reach nothing outside itself. Inline scripts stay allowed because st.iframe appends one of its own,
# which measures the height; what keeps tokens from running is their escaping in script_json.
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
#save {{ margin-top: 8px; padding: 4px 10px; font: inherit; font-size: 13px; color: var(--ink);
  background: var(--paper); border: 1px solid var(--quiet); border-radius: 6px; cursor: pointer; }}
#save:focus-visible {{ outline: 2px solid var(--ink); }}
{style}svg {{ display: block; min-width: {width}px; }}
svg text {{ fill: var(--ink); stroke: var(--paper); stroke-width: 3px; paint-order: stroke; }}
svg rect.background {{ fill: var(--hover); }}
</style>
</head>
<body>
<main>
<p>{hint}</p>
{markup}
<button type="button" id="save">Save this picture as SVG</button>
</main>
{scripts}
</body>
</html>
"""


# Cuts what looks from one sentence at another out of the attention of the pair.
EXPAND_SCRIPT = """
for (const part of params.attention.slice(1)) {
  part.attn = params.attention[0].attn.map(layer => layer.map(head =>
    head.slice(...part.rows).map(row => row.slice(...part.columns))));
}
"""

# Stands in for require.js; bertviz colours by `palette` instead of its own ten colours.
REQUIRE_SHIM = """
%s
const modules = {jquery: jQuery, d3: Object.create(d3, {schemeCategory10: {value: palette}})};
const requirejs = (names, start) => start(...names.map(name => modules[name]));
"""


# A file of its own: what the page's style gives the drawing is written into it.
SAVE_SCRIPT = """
document.getElementById("save").addEventListener("click", () => {
  const drawn = document.querySelector("svg"), saved = drawn.cloneNode(true), page = getComputedStyle(document.body);
  const {width, height} = drawn.getBoundingClientRect();
  for (const [name, value] of Object.entries({xmlns: "http://www.w3.org/2000/svg", width, height}))
    saved.setAttribute(name, value);
  saved.setAttribute("style", `background:${page.backgroundColor};font-family:Helvetica,Arial,sans-serif`);
  const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
  style.textContent = `text{fill:${page.color};stroke:${page.backgroundColor};stroke-width:3px;paint-order:stroke}`;
  saved.prepend(style);
  const link = document.createElement("a");
  const file = new Blob([new XMLSerializer().serializeToString(saved)], {type: "image/svg+xml"});
  link.href = URL.createObjectURL(file);
  link.download = document.title.toLowerCase().replace(/[^a-z0-9]+/g, "-") + ".svg";
  link.click();
  URL.revokeObjectURL(link.href);
});
"""


def bertviz_document(
    markup: str,
    view: str,
    *,
    dark: bool,
    title: str,
    hint: str,
    width: int,
    palette: str,
    style: str = "",
    after: str = "",
) -> str:
    """One HTML document of bertviz's `markup` and its script `view`, which needs no network.

    Args:
        palette: JavaScript that makes `palette`, an array of colours.
        width: px that the drawing takes at least.
        style: CSS of this view.
        after: a script to run at the end.
    """
    scripts = [
        shipped_script("jquery.min.js"),
        shipped_script("d3.min.js"),
        REQUIRE_SHIM % palette,
        view,
        after,
        SAVE_SCRIPT,
    ]
    return PAGE.format(
        scheme="dark" if dark else "light",
        title=html.escape(title.encode("utf-8", "replace").decode()),
        hint=html.escape(hint),
        style=style,
        width=width,
        markup=markup,
        scripts="\n".join(f"<script>{script}</script>" for script in scripts if script),
    )


class _NotebookOutput:
    """What IPython's HTML and Javascript are to bertviz: holders of a text."""

    def __init__(self, data: str | None = None) -> None:
        self.data = data


def imported_bertviz() -> Any:
    """bertviz, which takes three names from IPython; a stand-in lends them where IPython is not installed.

    They show results in a notebook, which nothing here does, and IPython would bring 32 MB (log/project.md,
    2026-11-28).
    """
    import torch  # noqa: F401 - bertviz would, and the stand-in is to be there for a moment only

    with _importing:
        try:
            import IPython.display  # noqa: F401
        except ModuleNotFoundError:
            display = types.ModuleType("IPython.display")
            vars(display).update(display=print, HTML=_NotebookOutput, Javascript=_NotebookOutput)
            lent = {"IPython": types.ModuleType("IPython"), "IPython.display": display}
            sys.modules.update(lent)
            try:
                import bertviz
            finally:
                for name in lent:  # else other libraries would take this for a notebook
                    del sys.modules[name]
        import bertviz

        return bertviz


def check_attentions(attentions: np.ndarray, tokens: Sequence[str], most: int, second: int | None = None) -> None:
    """Whether attentions (layers, heads, pos, pos) are those of the tokens, at most `most`, and can be drawn.

    Raises:
        ValueError: they are not; says what was expected and what came.
    """
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
    if second is not None and not 0 < second < len(tokens):
        raise ValueError(f"second must lie between 1 and {len(tokens) - 1}, got {second}. Or pass None for one text.")
    if len(tokens) > most:
        raise ValueError(f"expected at most {most} tokens, got {len(tokens)}. Shorten the text or use a heatmap.")
    low, high = float(attentions.min()), float(attentions.max())  # both are NaN when any entry is
    if not (low >= -1e-6 and high <= 1 + 1e-3):
        raise ValueError(f"attentions must be between 0 and 1, got {low:g} to {high:g}. Take them after the softmax.")


def check_indices(name: str, chosen: Sequence[int] | None, count: int) -> list[int]:
    """Return the chosen indices, sorted; all of them for None."""
    indices = sorted({int(index) for index in (range(count) if chosen is None else chosen)})
    if not indices or indices[0] < 0 or indices[-1] >= count:
        raise ValueError(f"{name} must be some of 0 to {count - 1}, got {indices}. Count from 0, or pass None for all.")
    return indices


def bertviz_parts(
    draw: Callable[..., Any], attentions: np.ndarray, tokens: Sequence[str], second: int | None, **more: Any
) -> tuple[str, str, dict[str, Any]]:
    """Calls bertviz's `draw` and takes its HTML apart: markup, script with PYTHON_PARAMS where its data goes, the data.

    `second`: where the second sentence of a pair begins; None for one text. Long tokens are shortened in the data.
    """
    import torch

    # float64, because a float32 of 0.123 prints as 0.12300000339746475
    rounded = torch.from_numpy(np.clip(np.round(attentions.astype(np.float64), DECIMALS), 0.0, 1.0))
    maps = [one_layer[None] for one_layer in rounded]
    view = draw(maps, list(tokens), sentence_b_start=second, html_action="return", **more).data

    pattern = (
        r'<script src="[^"]*"></script>(?P<markup>.*?id="(?P<root>bertviz-\w+)".*?)<script type="text/javascript">'
        r".*?(?P<start>requirejs\(.*?const params = )(?=\{)"  # what stands before requirejs( names the CDN
    )
    if not (found := re.match(pattern, view, re.DOTALL)):
        raise unexpected_bertviz("one root element and, after its CDN paths, a script that starts with its data")
    params, end = json.JSONDecoder().raw_decode(view, found.end())
    if not view.startswith("; // HACK:", end):
        raise unexpected_bertviz("a comment after its data")
    # bertviz replaces its marker in that comment too, so the rest of the line is the data once more.
    script = view[view.index("\n", end) :].removesuffix("\n</script>\n")
    expand = ""
    if second is not None:  # bertviz sends every part of the attention of a pair once more
        first_sentence, second_sentence = [0, second], [second, len(tokens)]
        expand = EXPAND_SCRIPT
        for texts, (rows, columns) in zip(
            params["attention"][1:],
            [
                (first_sentence, first_sentence),
                (second_sentence, second_sentence),
                (first_sentence, second_sentence),
                (second_sentence, first_sentence),
            ],
            strict=True,
        ):
            texts |= {"attn": None, "rows": rows, "columns": columns}
    params["root_div_id"] = "bertviz"  # its random id would change the document, and reload it, on every rerun
    for texts in params["attention"]:
        for side in ("left_text", "right_text"):
            texts[side] = [shorten_token(token) for token in texts[side]]
    return (
        found["markup"].replace(found["root"], "bertviz"),
        found["start"] + "PYTHON_PARAMS;" + expand + script,
        params,
    )


def shorten_token(token: str) -> str:
    """A token as it is drawn."""
    return token if len(token) <= MAX_LETTERS else token[: MAX_LETTERS - 1] + "…"


def text_width(text: str) -> int:
    """Width in px of a token in bertviz's 15 px Helvetica, rather too wide than too narrow."""
    wide_letters = sum(unicodedata.east_asian_width(letter) in "WF" for letter in text)
    broad_letters, narrow_letters = (
        len(re.findall(letters, text)) for letters in (r"[A-Zmw@%]", r"[fijlt.,;:!|\[\]()' ]")
    )
    return 14 + 9 * len(text) + 7 * wide_letters + 6 * broad_letters - 3 * narrow_letters


@cache
def shipped_script(name: str) -> str:
    """A JavaScript library out of assets/scripts, whose card.json says what it is and where it comes from.

    Raises:
        RuntimeError: it is missing, or not the file that the card describes.
    """
    folder = ASSETS / "scripts"
    try:
        read = (folder / name).read_bytes()
        expected = read_json_object(folder / "card.json")[name]["sha256"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RuntimeError(f"Expected {name} and card.json in assets/scripts, got none; restore them.") from error
    if hashlib.sha256(read).hexdigest() != expected:
        raise RuntimeError(f"Expected assets/scripts/{name} as its card.json says, got another file; restore it.")
    return read.decode("utf-8")


def replace_once(text: str, patches: dict[str, str]) -> str:
    """Replace each marker, in order; each must stand in the text exactly once."""
    for marker, replacement in patches.items():
        if text.count(marker) != 1:
            raise unexpected_bertviz(f"{marker!r} once")
        text = text.replace(marker, replacement)
    return text


def unexpected_bertviz(expected: str) -> RuntimeError:
    """The error that says that the installed bertviz is not one this project can use."""
    remedy = "Run pip install -r requirements.txt, or adapt app/examine/bertviz/parts.py to the new bertviz."
    return RuntimeError(f"Expected bertviz's view to hold {expected}; the installed one differs. {remedy}")
