"""A comparison of models as a file: CSV for spreadsheets, JSON for programs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

from engine.sizing.cost import parameters, parameters_by_part
from engine.sizing.footprint import PRECISIONS, executed_by_part, stored_bytes
from engine.sizing.shape import Shape
from engine.sizing.tensors import tensor_kinds

COLUMNS = ("model", "tensor", "part", "formula", "in one", "stored", "executed", "parameters")
CELL_ENDS = re.compile(r'[",;|\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]')
PIECE_STARTS = re.compile(r"([;|\t\r\n][\s\u200b\ufeff]*)(?=[=+\-@])")
BLANKS = "".join(map(chr, range(33))) + "\x7f\x85\xa0\ufeff\u200b\u2028\u2029\u3000"
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet runs a cell that begins with one as a formula


def to_csv(models: Sequence[tuple[str, Shape]]) -> str:
    """Every tensor of every (name, shape) as CSV with a header line and a total for each model."""
    lines = [csv_line(COLUMNS)]
    for name, shape in models:
        for entry in tensor_kinds(shape):
            numbers = (entry.count, entry.stored, entry.executed, entry.parameters)
            lines.append(csv_line([escape_csv_cell(name), entry.name, entry.part, entry.formula, *numbers]))
        lines.append(csv_line([escape_csv_cell(name), "total", "", "", "", "", "", parameters(shape)]))
    return "".join(f"{line}\r\n" for line in lines)


def csv_line(cells: Iterable[object]) -> str:
    """`cells` as one line of CSV, without its end.

    Whatever any spreadsheet could take for the end of a cell is quoted: Python's own writer leaves a carriage return
    bare, and the semicolon, at which spreadsheets of half of Europe part cells; a formula could begin behind either.
    """
    words = (str(cell) for cell in cells)
    return ",".join('"' + it.replace('"', '""') + '"' if CELL_ENDS.search(it) else it for it in words)


def escape_csv_cell(cell: str) -> str:
    """`cell` as text that no spreadsheet takes for a formula."""
    # where a semicolon or a tab parts cells, a quote in the middle of a line is no quote: each piece begins a cell
    cell = PIECE_STARTS.sub(r"\1'", cell)
    begins = cell.lstrip(BLANKS)  # a spreadsheet takes blanks off before it looks
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) or begins.startswith(FORMULA_STARTS) else cell


def to_json(models: Sequence[tuple[str, Shape]], link: str = "") -> str:
    """The comparison as one JSON object; integers of any size are written out."""
    found: dict[str, Any] = {"link": link} if link else {}
    found["models"] = [
        {
            "name": name,
            "shape": shape.to_json(),
            "parameters": parameters(shape),
            "parts": parameters_by_part(shape),
            "executed": sum(executed_by_part(shape).values()),
            "bytes": {precision: stored_bytes(shape, precision) for precision in PRECISIONS},
            "tensors": [vars(entry) | {"parameters": entry.parameters} for entry in tensor_kinds(shape)],
        }
        for name, shape in models
    ]
    return json.dumps(found, indent=1)
