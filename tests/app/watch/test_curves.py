"""What curves stand over: what the link says and the run counted. Run without a browser."""

import json

import pandas as pd
import pytest

from app.watch.curves import curve_axis
from tests.fixtures.pictured_run import beginning
from tests.fixtures.watch_page import ENDED, PICTURES, STEPS


@pytest.mark.parametrize(
    ("over", "label", "last"),
    [("steps", "step", 40), ("tokens", "k tokens", 80), ("flops", "GFLOPs", 40), ("seconds", "seconds", 2)],
)
def test_curves_stand_over_what_the_link_says(watch, over, label, last) -> None:
    """Harm: methods look equal over steps that cost four times as much; or a shared link shows another picture."""
    page = watch([*beginning(), *STEPS, *PICTURES, ENDED], over=over)
    (control,) = (it for it in page.get("button_group") if it.label == "Curves over")
    assert control.value == over
    charts = [json.loads(it.proto.spec) for it in page.get("vega_lite_chart")]
    labels = {one["encoding"]["x"]["title"] for chart in charts for one in (chart.get("layer") or [chart])[:1]}
    assert labels == {label}
    axis = curve_axis(over, STEPS)
    frame = axis.reindexed(pd.DataFrame({"x": [1.0, 2.0, 3.0]}, index=[0, 10, 40]))
    assert frame.index.tolist() == pytest.approx([0, last / 4, last])


def test_an_old_run_has_no_axis_that_it_did_not_count(watch) -> None:
    """Harm: a run from before tokens were counted cannot be looked at."""
    old = [{name: value for name, value in event.items() if name not in ("tokens", "flops")} for event in STEPS]
    page = watch([*beginning(), *old, ENDED], over="flops")
    (control,) = (it for it in page.get("button_group") if it.label == "Curves over")
    assert control.options == ["Steps", "Seconds"]
    assert control.value == "steps"
