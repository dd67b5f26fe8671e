"""A mosaic of attention as a picture: every head of every layer, for film strips. Never imports streamlit or plotly.

Pictures and not figures, for a browser replaces them without a flicker and a dozen of them weigh little.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from html import escape

import numpy as np

from app.elements.png import data_uri, palette, paletted_png
from app.elements.theme import FAINT_ROOT, Theme, colour_scale, rgb

GAP_LEVEL = 255  # the byte between heads; attention takes 0 to 254
GAP = 2  # pixels between heads
MARGIN, CAPTION = 16, 18  # pixels around a picture of a sheet, and for what stands above it
SMALL, LARGE = 92, 480  # pixels: of a picture in a strip; of one by itself at most, kept sharp at any size


def half_size(layers: Sequence[np.ndarray]) -> list[np.ndarray]:
    """The heads (head, pos, pos) of every layer at half the size: a pixel is the most of the four it stands for."""
    found = []
    for heads in layers:
        odd = heads.shape[-1] % 2
        even = np.pad(heads, ((0, 0), (0, odd), (0, odd)))
        found.append(even.reshape(len(heads), even.shape[1] // 2, 2, even.shape[2] // 2, 2).max((2, 4)))
    return found


def mosaic_png(layers: Sequence[np.ndarray], role: str, colours: Theme) -> bytes:
    """The heads (head, pos, pos) uint8 of every layer, a layer a row; layers may differ in how many they have.

    One scale for all: paper is 0, the full colour of `role` 255.
    """
    pos, widest = layers[0].shape[-1], max(map(len, layers))
    side = pos + GAP
    canvas = np.full((len(layers) * side - GAP, widest * side - GAP), GAP_LEVEL, np.uint8)
    for row, heads in enumerate(layers):
        for column, head in enumerate(heads):
            canvas[row * side : row * side + pos, column * side : column * side + pos] = np.minimum(head, GAP_LEVEL - 1)
    return paletted_png(canvas, _palette(role, colours))


def film_strip(frames: Sequence[tuple[str, bytes]], chosen: int, colours: Theme, alt: str, width: int = SMALL) -> str:
    """HTML of small pictures in a row, (words below, PNG) each, the `chosen` one framed; scrolls sideways."""
    cells = []
    for index, (words, png) in enumerate(frames):
        edge = colours.student if index == chosen else "transparent"
        ink = colours.ink if index == chosen else colours.quiet
        cells.append(
            f'<figure style="margin:0;flex:0 0 {width}px;text-align:center;color:{ink};font-size:.78rem">'
            f'<img src="{data_uri(png)}" alt="{escape(alt)}, {escape(words)}" style="width:100%;display:block;'
            f'border:2px solid {edge};border-radius:4px;padding:2px"><figcaption>{escape(words)}</figcaption></figure>'
        )
    return f'<div tabindex="0" style="display:flex;gap:6px;overflow-x:auto;padding-bottom:6px">{"".join(cells)}</div>'


def large_image(png: bytes, alt: str) -> str:
    """HTML of one picture as wide as its place allows, its pixels kept sharp."""
    return (
        f'<img src="{data_uri(png)}" alt="{escape(alt)}" '
        f'style="width:100%;max-width:{LARGE}px;display:block;image-rendering:pixelated">'
    )


def contact_sheet(pictures: Sequence[tuple[str, bytes]], columns: int, width: int, colours: Theme) -> str:
    """An SVG of (words above, PNG) `pictures`, `columns` in a row, each `width` pixels wide. It stands alone.

    All pictures are as high as the first is for its width.
    """
    pixels_wide, pixels_high = struct.unpack(">II", pictures[0][1][16:24])  # of a PNG's header
    height = round(width * pixels_high / pixels_wide)
    rows = -(-len(pictures) // columns)
    sheet_width, sheet_height = (
        MARGIN + min(columns, len(pictures)) * (width + MARGIN),
        MARGIN + rows * (height + MARGIN + CAPTION),
    )
    parts = []
    for place, (words, png) in enumerate(pictures):
        left = MARGIN + place % columns * (width + MARGIN)
        top = MARGIN + place // columns * (height + MARGIN + CAPTION)
        parts.append(
            f'<text x="{left}" y="{top + 12}" fill="{colours.ink}">{escape(words)}</text>'
            f'<image x="{left}" y="{top + CAPTION}" width="{width}" height="{height}" '
            f'style="image-rendering:pixelated" href="{data_uri(png)}"/>'
        )
    size = f'width="{sheet_width}" height="{sheet_height}"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {sheet_width} {sheet_height}" '
        f'font-family="Source Sans, sans-serif" font-size="13"><rect {size} '
        f'fill="{colours.paper}"/>{"".join(parts)}</svg>'
    )


def _palette(role: str, colours: Theme) -> bytes:
    """The colours of the bytes 0 to 255: the mosaic's scale, then what lies between heads."""
    return palette(colour_scale(colours.role(role), colours, FAINT_ROOT), GAP_LEVEL) + bytes(rgb(colours.grid))
