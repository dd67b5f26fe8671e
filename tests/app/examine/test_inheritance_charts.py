"""The inheritance score as figures: for any number of heads, and whatever a run is called."""

import numpy as np

from app.elements.theme import LIGHT
from app.examine.inheritance import score_text
from app.examine.inheritance_charts import score_curves, score_dots, score_matrix
from engine.inheritance.curve import InheritanceCurve
from engine.inheritance.score import ScoreInterval


def test_charts_hold_what_they_are_given():
    """Harm: a figure fails for one run, for hundreds of heads, or lets a name act as markup."""
    figure = ScoreInterval(0.5, 0.4, 0.6, 0.2, 0.4)
    drawn = score_dots({"<b>student": figure, "random": ScoreInterval(-0.9, -1.0, 0.1, 0.4, 0.4)}, LIGHT, "<b>student")
    assert "&lt;b&gt;student" in drawn.to_json()
    assert drawn.layout.xaxis.range[0] < -1.0
    big = score_matrix(np.zeros((144, 144)), ["1.1"] * 144, ["1.1"] * 144, LIGHT, [(0, 0)])
    assert len(big.layout.xaxis.ticktext) <= 24
    point = {"score": 0.5, "low": 0.4, "high": 0.6, "distance": 0.2, "null": 0.4}
    axes = {"steps": [0.0, 10.0], "flops": [None, None], "seconds": [0.0, 1.0]}
    curve = InheritanceCurve(
        "id", "wid", "4x64", (), axes, {"matched": [point, point], "same_place": [None, None]}, [point], [point]
    )
    assert [len(trace.x) for trace in score_curves([curve], ["wid"], "matched", "steps", "steps", LIGHT).data] == [4, 2]
    assert len(score_curves([curve], ["wid"], "matched", "flops", "FLOPs", LIGHT).data) == 0
    assert len(score_curves([curve], ["wid"], "same_place", "steps", "steps", LIGHT).data) == 0
    assert score_text(-0.00004) == "0.000"
