"""Scores as bars: on zero, with intervals, beside what no learning would score."""

from app.elements.score_charts import histogram, score_bars
from app.elements.theme import LIGHT


def test_bars_stand_on_zero_and_show_their_intervals():
    """Harm: a difference of a point that looks like a landslide; markup of a name that runs."""
    figure = score_bars({"Teacher <b>": {"qc": (80.0, 2.0)}, "Student": {"qc": (70.0, None)}}, "%", LIGHT)
    assert figure.layout.yaxis.rangemode == "tozero"
    assert figure.data[0].error_y.array == (2.0,)
    assert not figure.data[1].error_y.visible
    assert "<b>" not in figure.data[0].name
    assert histogram(["1-4", "5-8"], [3, 4], "tokens", "rows", LIGHT).data[0].y.tolist() == [3, 4]


def test_scores_stand_beside_what_saying_the_commonest_class_would_score():
    """Harm: 61% that look like something learned where always saying one class gives 60%."""
    figure = score_bars({"Student": {"qc": (70.0, None)}}, "%", LIGHT, reference=("Commonest <b>", {"qc": 22.0}))
    assert list(figure.data[-1].y) == [22.0]
    assert list(figure.data[-1].x) == list(figure.data[0].x)
    assert "<b>" not in figure.data[-1].name
