"""Layers of any set of models on the examine page. Run without a browser."""

import json

from tests.fixtures.page_reading import tabled, told


def test_layers_of_any_set_of_models(opened, ids) -> None:
    """Harm: the chart knows two models only, or takes the teacher's colour for another."""
    page = opened("Layers")
    assert "Angle" in told(page)
    models = next(widget for widget in page.multiselect if widget.label == "Models")
    assert ids["scratch"] in models.options
    models.set_value(["Teacher", "Student", ids["scratch"], "blank"]).run()
    assert not page.exception
    (chart,) = [chart for chart in page.get("plotly_chart") if chart.key == "layers_angle"]
    names = [trace.get("name") for trace in json.loads(chart.proto.spec)["data"]]
    assert [name for name in names if name] == ["Teacher", "Student", ids["scratch"], "blank"]
    assert f"{ids['scratch']}, angle" in tabled(page)
    assert "untrained" in tabled(page)
    models.set_value([]).run()
    assert not page.exception
    assert "Choose at least one model" in told(page)
