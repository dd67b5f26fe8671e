"""Fill in and Tasks on the examine page. Run without a browser."""

import subprocess
import sys

import pytest
from streamlit.testing.v1 import AppTest

from app.elements.score_charts import histogram, score_bars
from app.elements.theme import LIGHT
from app.session import caches
from engine.storage.runs import list_runs
from engine.training.launch import PROJECT

PAGE = str(PROJECT / "app" / "pages" / "examine.py")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """A folder with one small student."""
    folder = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "-m", "engine", "train", "--runs", str(folder), "--hidden", "64", "--steps", "4"]
    subprocess.run([*command, "--batch", "8", "--evaluations", "1"], cwd=PROJECT, check=True, capture_output=True)
    return folder


@pytest.fixture
def page(runs, monkeypatch):
    """The page of that student."""
    monkeypatch.setattr(caches, "RUNS", runs)
    return AppTest.from_file(PAGE, default_timeout=120).run()


def blanks(page):
    """The playground's sentence."""
    return next(widget for widget in page.text_input if widget.label.startswith("Sentence with"))


def test_any_number_of_blanks_is_filled_by_both(page):
    """Harm: the second blank, or the student's side, is missing."""
    assert not page.exception
    assert "[MASK]" in blanks(page).value
    blanks(page).set_value("The [MASK] near the [MASK] washes [MASK].").run()
    assert not page.exception
    told = " ".join(markdown.value for markdown in page.markdown)
    assert "**Blank 3**" in told
    assert "of 3 blanks**" in told
    tables = [table.value for table in page.dataframe if list(table.value.columns)[1:] == ["probability"]]
    assert len(tables) == 6
    assert [list(table.columns)[0] for table in tables] == ["Teacher", "Student"] * 3
    assert all(0 <= p <= 1 for table in tables for p in table["probability"])


@pytest.mark.parametrize("text", ["no blank here", "", "[MASK] " * 200])
def test_a_sentence_that_cannot_be_filled_says_why(page, text):
    """Harm: a traceback for an empty line."""
    blanks(page).set_value(text).run()
    assert not page.exception
    assert page.warning


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
