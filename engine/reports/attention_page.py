"""Attention of one or two models as a section of an HTML page: all heads small, one pair of heads large."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np

from engine.reports.html_page import escape, html_document, island

MAX_TOKENS = 64  # a pair of heads is then 12,000 cells, which a browser still draws at once
STYLE = """<style>
.mosaic { position: relative; margin-top: 6px; }
.mosaic canvas { display: block; width: 100%; image-rendering: pixelated; cursor: pointer; background: var(--grid); }
.mosaic .frame { position: absolute; border: 2px solid var(--ink); pointer-events: none; }
#large { margin-top: 24px; }
</style>"""


@dataclass(frozen=True)
class ModelAttention:
    """The attention of one model over a text."""

    role: str  # "teacher" or "student": its colour
    label: str
    tokens: Sequence[str]
    attentions: np.ndarray  # (layer, head, pos, pos) in 0-1


def attention_section(models: Sequence[ModelAttention], opened: tuple[int, int] = (0, 0)) -> tuple[str, str]:
    """Markup and script of the attention of one or two models, with the head `opened` (layer, head) of the first.

    Shares are kept to 1/255, a byte each: 12 x 12 heads and 32 tokens are 200 kB a model.

    Raises:
        ValueError: there are not one or two, the arrays do not fit the tokens, or there are more than MAX_TOKENS.
    """
    if not 1 <= len(models) <= 2:
        raise ValueError(f"A page of attention shows one or two models, got {len(models)}.")
    records = []
    for model in models:
        count, shape = len(model.tokens), model.attentions.shape
        if not 1 <= count <= MAX_TOKENS:
            raise ValueError(f"A page of attention holds 1 to {MAX_TOKENS} tokens, got {count}; shorten the text.")
        if len(shape) != 4 or shape[2:] != (count, count):
            raise ValueError(f"Attentions must be (layers, heads, {count}, {count}) for {count} tokens, got {shape}.")
        levels = np.round(255 * np.clip(model.attentions, 0, 1)).astype(np.uint8)
        records.append(
            {
                "role": model.role,
                "label": model.label,
                "layers": shape[0],
                "heads": shape[1],
                "tokens": list(model.tokens),
                "maps": base64.b64encode(levels.tobytes()).decode(),
            }
        )
    data = {"models": records, "open": {"layer": opened[0], "head": opened[1]}}
    return (
        f"{STYLE}\n{island('attention', data)}\n"
        '<p class="quiet">Every head of every layer; in a square a row is the token that looks, a column the token '
        "looked at. Click a square, or go there with the arrow keys, to open that head in both models.</p>\n"
        '<div id="attention-view"><p>A script of this page draws this part, and scripts are switched off.</p></div>'
    ), _script()


def attention_page(models: Sequence[ModelAttention], text: str, notes: Sequence[str] = ()) -> str:
    """A whole document of `attention_section` for the sentence `text`; `notes` are said below the title.

    Raises:
        ValueError: as attention_part.
    """
    part, script = attention_section(models)
    title = " and ".join(model.label for model in models)
    shown_notes = "".join(f"<p>{escape(note)}</p>" for note in notes)
    return html_document(f"Attention: {title}", [f"<h1>{escape(text)}</h1>", shown_notes, part], [script])


@cache
def _script() -> str:
    return Path(__file__).with_name("attention_page.js").read_text(encoding="utf-8")
