"""Saved tables and figures: the numbers that are shown, and nothing that runs."""

import csv
import io

import numpy as np
import pytest

from app.elements.buttons import csv_text, figure_rows
from app.elements.heatmaps import heatmap
from app.elements.theme import LIGHT
from app.examine.ancestry.charts import ancestry_sankey
from app.examine.attention_charts import attention_heatmap
from app.examine.charts import best_head_bars
from app.size.charts import tensor_treemap
from engine.inspection.head_roles import BestHead
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from engine.sizing.tensors import tensor_kinds


def test_a_saved_table_is_numbers_and_runs_nothing() -> None:
    """Harm: a spreadsheet runs a run's name as a formula, or takes a true minus for a word."""
    text = csv_text(["name", "score"], [["=HYPERLINK(1)", "\N{MINUS SIGN}0.5"], ["-1", -2.5]])
    assert text == "name,score\n'=HYPERLINK(1),-0.5\n-1,-2.5\n"


def test_a_figure_gives_its_data_by_the_names_at_its_axes() -> None:
    """Harm: the file behind a figure has other numbers than the figure, or numbers of rows where names stand."""
    figure = heatmap(
        np.array([[0.25, np.nan], [1.0, 0.5]]), ["a", "b"], ["c", "d"], ("x", "y"), "#000000", LIGHT, hover=""
    )
    lines = [line[1:4] for line in figure_rows(figure)]
    assert sorted(lines, key=str) == [["c", "a", "0.25"], ["c", "b", "1"], ["d", "b", "0.5"]]


def test_a_figure_gives_flows_parts_and_intervals_too() -> None:
    """Harm: a figure's file is empty where it draws flows or areas, or keeps the dots and drops their intervals."""
    flows = figure_rows(ancestry_sankey(np.array([[0.75, 0.25]]), ["a", "<b>"], ["c"], LIGHT))
    assert [line[1:4] for line in flows] == [["a", "c", "0.75"], ["<b>", "c", "0.25"]]
    shape = Shape(2, 8, 2, vocab=100)
    parts = [line for line in figure_rows(tensor_treemap(tensor_kinds(shape), "#000000", LIGHT)) if line[2]]
    assert sum(float(line[3]) for line in parts) == parameters(shape)
    bars = figure_rows(best_head_bars({"Teacher": {"order": BestHead(0, 1, 0.5, 0.1, 0.2, 0.3, -2, 40)}}, LIGHT))
    assert bars[0] == ["Teacher", "order", 50.0, "", 10.0, 10.0]
    tokens = figure_rows(attention_heatmap(np.eye(2), ["<b>", "&"], "teacher", LIGHT, second=1))
    assert [line[1:4] for line in tokens][:2] == [["<b>", "<b>", "1"], [" & ", "<b>", "0"]]


BEFORE = ["", "\r", "\t", "\n", " ", "\xa0", "\u200b", "a\r", "a\n", "a;", "a; ", 'a"', "a,", "a\t", ";", "\r\n"]


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("formula", ["=1+1", "+1+x", "-1+x", "@SUM(1)", "\t=x"])
def test_no_cell_is_a_formula_for_any_spreadsheet(before: str, formula: str) -> None:
    """Harm: a run's name runs a command on the machine of whoever opens the table."""
    text = csv_text(["name", "x", "y"], [["run", before + formula, 1]])
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert [len(row) for row in rows] == [3, 3]
    assert rows[1][1].endswith(formula.strip())
    for delimiter in (",", ";", "\t"):
        for row in csv.reader(io.StringIO(text.replace("\r", "\r\n"), newline=""), delimiter=delimiter):
            for cell in row:
                assert not cell.lstrip(" \xa0\u200b\r\n").startswith(("=", "+", "@", "-1+")), (text, delimiter)
