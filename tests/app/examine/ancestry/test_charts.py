"""Charts of ancestors, heads and cells hold the numbers that they were given."""

import numpy as np

from app.elements.heatmaps import head_blocks, heatmap
from app.elements.theme import DARK, LIGHT
from app.examine.ancestry.charts import ancestry_sankey, labelled_scatter, share_map
from app.examine.charts import best_head_bars
from engine.inspection.head_roles import BestHead


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
