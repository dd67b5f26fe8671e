"""A picture of bytes as a PNG, by a palette of colours."""

from __future__ import annotations

import base64
import struct
import zlib
from collections.abc import Sequence

import numpy as np

from app.elements.theme import rgb


def paletted_png(pixels: np.ndarray, palette: bytes) -> bytes:
    """`pixels` (height, width) uint8 as a PNG; `palette`: red, green and blue of the bytes 0, 1, ..."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # eight bits a pixel, by palette
    rows = np.hstack([np.zeros((height, 1), np.uint8), pixels])  # each begins with its filter: none
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def palette(stops: Sequence[tuple[float, str]], count: int) -> bytes:
    """Red, green and blue of the bytes 0 to `count` - 1, one after the other.

    `stops`: (share of the way, "#rrggbb"), the first at 0 and the last at 1.
    """
    places = [share * (count - 1) for share, _ in stops]
    colours = np.array([rgb(colour) for _, colour in stops], dtype=float)
    levels = np.stack([np.interp(np.arange(count), places, colours[:, part]) for part in range(3)], 1)
    return levels.round().astype(np.uint8).tobytes()


def data_uri(png: bytes) -> str:
    """A PNG as the address of a picture."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
