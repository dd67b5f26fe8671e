"""A comparison kept as CSV and JSON."""

import csv
import io
import json

import pytest

from engine.sizing.comparison_export import COLUMNS, to_csv, to_json
from engine.sizing.cost import parameters
from engine.sizing.shape import LARGEST_NUMBER, Shape
from engine.sizing.tensors import tensor_kinds

MODELS = [("Teacher", Shape()), ('A, "quoted"\nname', Shape(layers=2, tied=False))]


def test_every_row_adds_up_to_its_total() -> None:
    """Harm: the spreadsheet and the page disagree."""
    rows = list(csv.DictReader(io.StringIO(to_csv(MODELS))))
    assert tuple(rows[0]) == COLUMNS
    for name, shape in MODELS:
        mine = [row for row in rows if row["model"] == name]
        *tensors, total = mine
        assert len(tensors) == len(tensor_kinds(shape))
        assert sum(int(row["parameters"]) for row in tensors) == int(total["parameters"]) == parameters(shape)


@pytest.mark.parametrize("name", ["=HYPERLINK(1)", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_name_runs_as_a_formula(name: str) -> None:
    """Harm: somebody opens a shared comparison in a spreadsheet, and a model's name runs there."""
    for row in csv.reader(io.StringIO(to_csv([(name, Shape(layers=1))]))):
        assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r"))


def test_json_holds_exact_integers() -> None:
    """Harm: a count of twenty digits is rounded by a float on its way."""
    huge = Shape(layers=LARGEST_NUMBER, hidden=LARGEST_NUMBER, heads=LARGEST_NUMBER, ffn=LARGEST_NUMBER)
    kept = json.loads(to_json([("Huge", huge)], "http://example"))
    assert kept["link"] == "http://example"
    assert kept["models"][0]["parameters"] == parameters(huge) > 10**26
    assert Shape.from_json(kept["models"][0]["shape"]) == huge
    assert sum(entry["parameters"] for entry in kept["models"][0]["tensors"]) == parameters(huge)
