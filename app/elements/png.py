"""A picture of bytes as a PNG. Imports nothing of the project."""

from __future__ import annotations

import base64
import struct
import zlib

import numpy as np


def paletted_png(pixels: np.ndarray, palette: bytes) -> bytes:
    """`pixels` (height, width) uint8 as a PNG; `palette`: red, green and blue of the bytes 0, 1, ..."""
    height, width = pixels.shape
    header = struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)  # eight bits a pixel, by palette
    rows = np.hstack([np.zeros((height, 1), np.uint8), pixels])  # each begins with its filter: none
    chunks = ((b"IHDR", header), (b"PLTE", palette), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def data_uri(png: bytes) -> str:
    """A PNG as the address of a picture."""
    return "data:image/png;base64," + base64.b64encode(png).decode()
