"""A comparison of models as a file: CSV for spreadsheets, JSON for programs."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from typing import Any

from engine.sizing.cost import parameters, parameters_by_part
from engine.sizing.footprint import PRECISIONS, executed_by_part, stored_bytes
from engine.sizing.shape import Shape
from engine.sizing.tensors import tensor_kinds

COLUMNS = ("model", "tensor", "part", "formula", "in one", "stored", "executed", "parameters")
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")  # a spreadsheet runs a cell that begins with one as a formula


def to_csv(models: Sequence[tuple[str, Shape]]) -> str:
    """Every tensor of every (name, shape) as CSV with a header line and a total for each model."""
    text = io.StringIO()
    rows = csv.writer(text, lineterminator="\r\n")
    rows.writerow(COLUMNS)
    for name, shape in models:
        for entry in tensor_kinds(shape):
            numbers = (entry.count, entry.stored, entry.executed, entry.parameters)
            rows.writerow([escape_csv_cell(name), entry.name, entry.part, entry.formula, *numbers])
        rows.writerow([escape_csv_cell(name), "total", "", "", "", "", "", parameters(shape)])
    return text.getvalue()


def escape_csv_cell(cell: str) -> str:
    """`cell` as text that no spreadsheet takes for a formula."""
    return f"'{cell}" if cell.startswith(FORMULA_STARTS) else cell


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
