"""One HTML page that needs nothing but itself: no network, no script that was not written here.

Its content security policy allows the scripts given to `html_document` by their hashes and nothing else, so text that
slips through as markup still cannot run.
"""

from __future__ import annotations

import base64
import hashlib
import html
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.settings.error_text import disk_reason
from engine.storage.atomic import whole_file

# Light and dark, as the app's own paper (a test compares them with app.elements.theme).
COLOURS = {
    "paper": ("#ffffff", "#15171b"),
    "ink": ("#14171c", "#e7e8ea"),
    "quiet": ("#5f6675", "#a3a8b8"),
    "grid": ("#e3e0da", "#3d434e"),
    "empty": ("#f4f2ee", "#20242b"),
    "teacher": ("#0b5cad", "#6cb4f5"),
    "student": ("#c8500a", "#ffa552"),
    "first": ("#4a1e5e", "#b87ad9"),
    "second": ("#00916b", "#2fa583"),
}

STYLE = """
:root { color-scheme: light dark; VARIABLES }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1120px; padding: 32px 24px 64px; background: var(--paper); color: var(--ink);
  font: 16px/1.55 "Source Sans 3", "Source Sans Pro", "Segoe UI", Helvetica, Arial, sans-serif; }
h1, h2 { font-family: "Source Serif 4", Georgia, "Times New Roman", serif; line-height: 1.2; margin: 0 0 8px;
  overflow-wrap: anywhere; }
h1 { font-size: 34px; }
h2 { font-size: 23px; margin-top: 44px; }
p { margin: 0 0 12px; max-width: 75ch; }
.quiet, figcaption, th { color: var(--quiet); }
.tiles { display: flex; flex-wrap: wrap; gap: 12px; margin: 20px 0; }
.tile { flex: 1 1 180px; border: 1px solid var(--grid); border-radius: 6px; padding: 12px 16px; }
.tile b { display: block; font-size: 25px; font-weight: 600; }
.beside { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 330px), 1fr)); gap: 28px; }
figure { margin: 0; min-width: 0; }
figcaption { font-size: 14px; margin-top: 6px; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { text-align: left; padding: 5px 20px 5px 0; border-bottom: 1px solid var(--grid); vertical-align: top;
  font-weight: normal; overflow-wrap: anywhere; }
th { white-space: nowrap; }
td.number, th.number { text-align: right; }
pre { background: var(--empty); padding: 12px 16px; border-radius: 6px; white-space: pre-wrap;
  overflow-wrap: anywhere; }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--quiet); font-size: 13px; }
.scroll { overflow-x: auto; }
@media print { body { padding: 0; max-width: none; } h2 { break-after: avoid; } figure { break-inside: avoid; } }
"""


def html_document(title: str, parts: Sequence[str], scripts: Sequence[str] = ()) -> str:
    """A whole page called `title` (plain text) of `parts` (markup) that runs `scripts` when it is there."""
    hashes = " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(it.encode()).digest()).decode()}'" for it in scripts)
    hashes = hashes or "'none'"
    policy = (
        f"default-src 'none'; base-uri 'none'; form-action 'none'; script-src {hashes}; "
        "style-src 'unsafe-inline'; img-src data:"
    )
    variables = " ".join(f"--{name}: light-dark({light}, {dark});" for name, (light, dark) in COLOURS.items())
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        f"<title>{escape(title)}</title>",
        f"<style>{STYLE.replace('VARIABLES', variables)}</style>",
        "</head>",
        "<body>",
        "<main>",
        *parts,
        "</main>",
        *(f"<script>{script}</script>" for script in scripts),
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def escape(text: object) -> str:
    """`text` as it may stand in markup and in the quotes of an attribute."""
    return html.escape(str(text), quote=True)


def island(name: str, value: Any) -> str:
    """Plain values for a script to read, from the element with the id `name`. Nothing in them can end the element."""
    return f'<script type="application/json" id="{escape(name)}">{script_json(value)}</script>'


def script_json(value: object) -> str:
    """JSON that may stand in a script: it cannot end the script, open a comment there or hold anything but ASCII.

    Raises:
        ValueError: a number in `value` is not finite.
    """
    text = json.dumps(value, separators=(",", ":"), allow_nan=False)
    return text.replace("&", "\\u0026").replace("<", "\\u003c")


def fact_table(rows: Mapping[str, object]) -> str:
    """Names and what is said of each, as a table of two columns; what is None or empty is left out."""
    cells = (
        f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>'
        for name, value in rows.items()
        if value not in (None, "")
    )
    return f"<table>{''.join(cells)}</table>"


def tiles(rows: Sequence[tuple[str, str, str]]) -> str:
    """Numbers to see first: (what, how much, what more to say of it)."""
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile"><span class="quiet">{escape(what)}</span><b>{escape(much)}</b>{escape(more)}</div>'
            for what, much, more in rows
        )
        + "</div>"
    )


def write_page(path: Path, page: str) -> None:
    """Writes `page` to `path`, whole or not at all; an older file there is replaced.

    Raises:
        ValueError: the disk refuses, or `path` is a folder.
    """
    try:
        with whole_file(path) as draft:
            draft.write_text(page, encoding="utf-8")
    except OSError as error:
        raise ValueError(f"{path} cannot be written: {disk_reason(error)}. Name another file.") from error
