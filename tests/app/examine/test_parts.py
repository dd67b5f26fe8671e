"""What the examine page's views are made of: charts, saved tables, numbers and words. Draws no page."""

import numpy as np
import pytest

from app.elements.buttons import csv_text, figure_rows
from app.elements.heatmaps import common_limits, head_blocks, heatmap
from app.elements.shape_words import describe_shape, describe_sharing
from app.elements.text import format_number
from app.elements.theme import DARK, LIGHT
from app.examine.ancestry.charts import ancestry_sankey, labelled_scatter, share_map
from app.examine.attention_charts import attention_heatmap
from app.examine.charts import best_head_bars, layer_lines
from app.examine.fill_in import hide_a_word
from app.size.charts import tensor_treemap
from engine.inspection.head_roles import BestHead
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from engine.sizing.tensors import tensor_kinds


def test_charts_hold_what_they_were_given() -> None:
    """Harm: a flow, a cell or a bar of another height than the number in the table."""
    shares = np.array([[0.9, 0.1, 0.0], [0.2, 0.3, 0.5]])
    flows = ancestry_sankey(shares, ["a", "<b>", "c"], ["x", "y"], LIGHT).data[0]
    for source, target, value in zip(flows.link.source, flows.link.target, flows.link.value, strict=True):
        assert value == shares[target - 3, source]
    assert len(flows.link.value) == 5  # what gave nothing does not flow
    assert "<b>" not in flows.node.label
    figure = share_map(shares, (1, 2), "dim", DARK)
    np.testing.assert_allclose(figure.data[0].customdata, 100 * shares, rtol=1e-6)
    assert figure.data[0].z.min() == -4
    cells = heatmap(
        shares - 0.4, ["r", "<s>"], ["a", "b", "c"], ("", ""), LIGHT.student, LIGHT, hover="%{y} %{x}", limits=(-1, 1)
    )
    np.testing.assert_allclose(cells.data[0].z, shares - 0.4, rtol=1e-6)
    assert [note.text for note in cells.layout.annotations][:3] == ["0.50", "\N{MINUS SIGN}0.30", "\N{MINUS SIGN}0.40"]
    assert not any("<" in text for text in cells.layout.yaxis.ticktext)
    figure = head_blocks({"one": shares, "two": shares / 2}, LIGHT.teacher, LIGHT, "%{customdata[0]}")
    assert [(trace.zmin, trace.zmax) for trace in figure.data] == [(0, 1), (0, 1)]  # one scale
    np.testing.assert_allclose(figure.data[1].z, shares / 2, rtol=1e-6)
    head = BestHead(0, 1, 0.5, 0.1, 0.03, -1, 0.6, 40)
    bars = best_head_bars({"Teacher": {"order": head}, "Student": {"order": head}}, LIGHT)
    assert bars.data[0].y == (50,)
    assert bars.data[0].error_y.array == (10,)
    assert {trace.name: trace.y for trace in bars.data[2:]} == {
        "at a fixed distance": (60,),
        "evenly over the words": (3,),
    }
    points = labelled_scatter(
        np.array([0.1, 1.0]), np.array([0.2, 0.3]), ["p", "q"], ("x", "y"), LIGHT, chief=np.array([0, 1]) > 0
    )
    assert [list(trace.x) for trace in points.data] == [[1.0], [0.1]]


def test_step_lines_draw_means_over_one_another() -> None:
    """Harm: the line beside the table shows other numbers than the table; models of unequal depth stand askew."""
    values = np.arange(12.0).reshape(3, 4)
    figure = layer_lines({"Teacher": values, "Student": values[:2] + 1, "run <b>": values}, "L2", LIGHT, relative=True)
    lines = {trace.name: trace for trace in figure.data if trace.name}
    np.testing.assert_allclose(lines["Teacher"].y, [1.5, 5.5, 9.5])
    np.testing.assert_allclose(lines["Student"].y, [2.5, 6.5])
    np.testing.assert_allclose(lines["Teacher"].x, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(lines["Student"].x, [0.5, 1])
    assert lines["Teacher"].line.color == LIGHT.teacher
    assert lines["Student"].line.color == LIGHT.student
    assert "run &lt;b&gt;" in lines
    alone = layer_lines({"run": values, "Student": values}, "L2", LIGHT, dashed=frozenset({"run"}))
    lines = {trace.name: trace for trace in alone.data if trace.name}
    assert lines["run"].line.color not in (LIGHT.teacher, LIGHT.student)
    assert (lines["run"].line.dash, lines["Student"].line.dash) == ("dash", "solid")


def test_numbers_are_written_as_people_write_them() -> None:
    """Harm: '-0.00' in a table, or a scale that starts at another place in each of two pictures."""
    assert format_number(-0.001, ".2f") == "0.00"
    assert format_number(0.0, "+.2f") == "0.00"
    assert format_number(float("nan"), ".2f") == ""
    assert format_number(-0.5, "+.1f") == "\N{MINUS SIGN}0.5"
    assert common_limits(np.array([0.1, 0.5]), np.array([0.2, np.nan])) == (0.0, 0.5)
    assert common_limits(np.array([0.1, -0.5]), np.array([0.2])) == (-0.5, 0.5)


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


@pytest.mark.parametrize(
    ("sentence", "blanked"),
    [
        (
            "The girl near the boats washes herself. She is happy.",
            "The girl near the boats washes [MASK]. She is happy.",
        ),
        ("The cat sat on the carpet.", "The cat sat on the [MASK]."),
        ("123 ...", "[MASK]"),
    ],
)
def test_the_first_blank_asks_for_something(sentence, blanked) -> None:
    """Harm: the first thing that a visitor sees hidden is a word that could be any."""
    assert hide_a_word(sentence) == blanked


def test_what_is_said_of_a_build() -> None:
    """Harm: a student with one set of weights for all layers reads as an ordinary one."""
    shared = Shape(4, 64, 4, vocab=100, embedding=10, sharing="attention")
    assert describe_shape(shared).endswith("FFN 256, embeddings of 10, 4 layers share their attention weights")
    assert describe_sharing(Shape(4, 64, 4, vocab=100)) == ""
