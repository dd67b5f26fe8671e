"""Own runs and experiments on the compare page, or what to do where there are none. Run without a browser."""

import json

from tests.fixtures.experiments import experiment, finished, row
from tests.fixtures.page_reading import html


def test_own_experiments_and_runs_appear(opened, tmp_path):
    """Harm: a person's night of computing is nowhere to be seen."""
    runs = [finished(tmp_path / "runs") for _ in range(2)]
    page = opened([experiment("one", row("a", [0.2, 0.3]))], [experiment("mine-123", row("b", [0.4, 0.5]))])
    choice = page.selectbox[0]
    assert choice.options == ["one", "Mine: mine-123", "My runs"]
    page.multiselect[0].set_value([runs[0].id]).run()
    figure = json.loads(page.get("plotly_chart")[0].proto.spec)
    assert [trace["name"] for trace in figure["data"]] == ["students", "my runs"]
    page.selectbox[0].set_value("own:mine-123").run()
    assert "40.0" in html(page) or "45.0" in html(page)
    page.selectbox[0].set_value("My runs").run()
    assert not page.exception
    assert len(page.get("plotly_chart")) == 1
    assert all(run.id in html(page) for run in runs)
    assert "54.3" in html(page)
    assert "10.0" in html(page)  # 20 steps of half a second


def test_an_empty_installation_says_what_to_do(opened):
    """Harm: a blank page."""
    page = opened()
    assert "no finished run" in page.info[0].value
