"""Tasks on the examine page: a score stays, with what is needed to judge it. Run without a browser."""

import pytest

from app.session import caches
from engine.storage.runs import list_runs


@pytest.fixture
def runs(made):
    """The folder of the one student that the page is about."""
    return made[0]


def test_a_task_is_scored_for_both_and_stays(page, runs, monkeypatch):
    """Harm: a button that does nothing, or a score that is gone after the next click."""
    answers = iter([[0.8, 0.82, 0.84], [0.6, 0.61, 0.62]])

    def scored(model, task, progress):
        progress("seed 0", 0.5)
        values = next(answers)
        mean = sum(values) / 3
        return {
            "metric": "accuracy",
            "scores": {"accuracy": {"mean": mean, "spread": 0.02, "interval": 0.05, "values": values}},
            "baseline": {"accuracy": 0.5},
        }

    monkeypatch.setattr(caches, "score_linear_probe", scored)
    next(button for button in page.button if button.label == "Score both").click().run()
    assert not page.exception
    page.run()
    (table,) = [table.value for table in page.dataframe if "retained, %" in table.value.columns]
    assert table["teacher"][0] == "82.0 ± 5.0"
    assert table["retained, %"][0].startswith("74.4 ± ")
    assert list_runs(runs)[0].id in " ".join(code.value for code in page.code)
