"""The compare page, run without a browser: what it shows of experiments and runs, and what it says of bad files."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from streamlit.testing.v1 import AppTest

from app.compare.charts import cost_quality_scatter, dot_plot
from app.compare.points import COST_AXES, PlacedPoint, in_fitting_unit, outcome_points, run_points
from app.elements.theme import DARK, LIGHT
from app.session import caches
from engine.cli.recipe import GRIDS
from engine.experiments.outcome import Outcome, RowOutcome, differences_from_base, summarise, write_outcome
from engine.settings import project
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from engine.storage.atomic import write_json
from engine.storage.runs import create_run
from engine.training.launch import PROJECT

SHAPE = Shape(layers=2, hidden=32, heads=2, vocab=211, positions=64)
HOSTILE = "<img src=x onerror=alert(1)> [link](http://example.com) $x$"


def row(name: str, values: list[float], measures=("masked_accuracy",), seconds=(), **more) -> RowOutcome:
    """A row of two seeds."""
    measured = {measure: summarise(values) for measure in measures}
    if seconds:
        measured["seconds"] = summarise(seconds)
    found = RowOutcome(name, name, "", "scratch", "", 12_345, SHAPE.to_json(), (0, 1), ("a", "b"), measured)
    return replace(found, **more)


def experiment(name: str, *rows: RowOutcome, measures=("masked_accuracy",), **more) -> Outcome:
    """An outcome with a card."""
    card = {"command": f"python -m engine recipe {name} --save", "date": "2026-11-25", "seconds": 61.0}
    return replace(Outcome(name, name, f"About {name}.", measures, rows, {}, "", "", 2 * len(rows), card), **more)


def replayed() -> Outcome:
    """A table with a paper's scores beside it."""
    base, other = row("none", [0.5, 0.6], paper=81.6), row("all", [0.4, 0.5], base="none", paper=80.1)
    return experiment(
        "table", base, replace(other, differences=differences_from_base(other, base)), paper="A paper, Table 1"
    )


def crossed() -> Outcome:
    """The three models of ALBERT's Table 5."""
    tasks = ("masked_accuracy", "nsp", "sop")
    rows = [row(name, [0.5, 0.6], tasks) for name in ("none", "nsp", "sop")]
    return experiment("order", *rows, measures=tasks, nulls={"masked_accuracy": 0.1, "nsp": 0.5, "sop": 0.5})


@pytest.fixture
def opened(tmp_path, monkeypatch):
    """Opens the page with the given shipped outcomes and own ones."""
    monkeypatch.setattr(caches, "RUNS", tmp_path / "runs")
    monkeypatch.setattr(project, "EXPERIMENTS", tmp_path / "shipped")

    def open_page(shipped=(), own=(), link="") -> AppTest:
        for folder, some in ((tmp_path / "shipped", shipped), (tmp_path / "runs" / "experiments", own)):
            for one in some:
                write_outcome(one, folder)
        page = AppTest.from_file(str(PROJECT / "streamlit_app.py"), default_timeout=120).run()
        if link:
            page.query_params["experiment"] = link
        page.switch_page("app/pages/compare.py").run()
        assert not page.exception
        return page

    return open_page


def html(page: AppTest) -> str:
    """All HTML of the page."""
    return "\n".join(element.proto.body for element in page.get("html"))


def finished(root, **changes):
    """A finished run with a card, and no weights."""
    run = create_run(root, {"method": "wid"}, "wid")
    card = {
        "method": "wid", "steps": 20, "parameters": 54_321, "shape": SHAPE.to_json(),
        "scores": {"retained": 0.9, "masked_accuracy": 0.6}, "seconds": 3.0,
    }  # fmt: skip
    write_json(run.card_path, {**card, **changes})
    run.append({"kind": "step", "step": 20, "step_seconds": 0.5})
    run.append({"kind": "finished", "step": 20})
    return run


@pytest.mark.parametrize(
    ("make", "charts"), [(lambda: experiment("one", row("a", [0.2, 0.3])), 1), (replayed, 2), (crossed, 2)]
)
def test_every_kind_of_experiment_is_drawn_with_its_numbers(opened, make, charts):
    """Harm: an experiment that cannot be seen, or a picture whose numbers nobody can read."""
    found = make()
    page = opened([found])
    assert len(page.get("plotly_chart")) == charts
    assert "12,345" in html(page)
    for one in found.rows:
        for numbers in one.measured.values():
            assert f"{100 * numbers.mean:.1f} ± {100 * numbers.interval:.1f}" in html(page)
    assert page.code[0].value == found.card["command"]


def test_the_paper_stands_beside_as_differences_and_as_measured(opened):
    """Harm: the paper's average score and an accuracy here are drawn on one axis, as if they were one thing."""
    page = opened([replayed()])
    for choice, ours, theirs in (("Points apart", -10.0, -1.5), ("As measured", 55.0, 81.6)):
        page.segmented_control[0].set_value(choice).run()
        assert not page.exception
        figures = [json.loads(chart.proto.spec) for chart in page.get("plotly_chart")]
        assert [figure["data"][0]["x"][0] for figure in figures] == pytest.approx([ours, theirs])


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


def test_bad_and_hostile_files_are_words(opened, tmp_path):
    """Harm: one damaged file hides all others behind a traceback, or a stranger's text becomes part of the page."""
    bad = experiment("hostile", row("a", [0.2, 0.3], label=HOSTILE, note=HOSTILE, series=HOSTILE), about=HOSTILE)
    bad = replace(bad, title=HOSTILE, card={"command": HOSTILE, "seconds": "long", "versions": [1], "date": HOSTILE})
    folder = tmp_path / "runs" / "experiments"
    folder.mkdir(parents=True)
    (folder / "broken.json").write_text("{")
    finished(tmp_path / "runs", scores="none", shape=7)
    page = opened([bad], link="nobody")
    assert "broken" in page.warning[0].value
    assert "nobody" in page.info[0].value
    assert "<img" not in html(page)
    assert "<img" not in page.get("plotly_chart")[0].proto.spec
    assert not [it.value for it in (*page.markdown, *page.caption) if "[link](" in it.value or "$x$" in it.value]


def test_a_point_stands_where_its_numbers_say(tmp_path):
    """Harm: a student stands at the cost or the quality of another, or of another unit."""
    found = experiment("one", row("a", [0.2, 0.3]))
    (point,) = outcome_points(found, COST_AXES["parameters"], "masked_accuracy")
    assert (point.x, point.y) == pytest.approx((12.345, 25.0))
    (point,) = outcome_points(found, COST_AXES["bytes"], "masked_accuracy")
    assert point.x == pytest.approx(4 * parameters(SHAPE) / 1e3)
    tokens, words, hidden = 64, 10, 32
    products = 2 * (tokens * 12 * hidden**2 + 2 * tokens**2 * hidden) + words * (hidden**2 + hidden * 211)
    (point,) = outcome_points(found, COST_AXES["work"], "masked_accuracy")
    assert point.x == pytest.approx(2 * products / 1e6)
    assert outcome_points(found, COST_AXES["flops"], "masked_accuracy") == []  # not told, so not shown
    slow = replace(found, rows=(row("a", [0.2, 0.3], seconds=(9.0, 4.0)),))
    (point,) = outcome_points(slow, COST_AXES["seconds"], "masked_accuracy")
    assert point.x == 4.0  # another program on the machine makes a run slower, never quicker
    (own,) = run_points([finished(tmp_path)], COST_AXES["seconds"], "retained")
    assert (own.x, own.y) == pytest.approx((10.0, 90.0))


@pytest.mark.parametrize("colours", [LIGHT, DARK])
def test_labels_do_not_cover_one_another(colours):
    """Harm: six methods at one number of parameters, and six names on one spot."""
    points = [PlacedPoint(f"method {n}", "students", 222.0, 60 + n * 0.1, 1.0, 3, "") for n in range(6)]
    points.append(PlacedPoint("Teacher", "teacher", 840.0, 100.0, None, 1, ""))
    figure = cost_quality_scatter(points, COST_AXES["parameters"], "Retained", colours)
    pixel = 41.5 / 310  # percent a pixel: from 59 to 100 over the plot's height
    heights = sorted(-note.y / pixel + note.ay for note in figure.layout.annotations if "method" in note.text)
    assert len(figure.layout.annotations) == len(points)
    assert min(b - a for a, b in zip(heights, heights[1:], strict=False)) > 12
    assert len({trace.marker.color for trace in figure.data}) == 2
    assert len({trace.marker.symbol for trace in figure.data}) == 2


def test_an_empty_chart_can_be_drawn():
    """Harm: a page that fails where a choice leaves nothing."""
    assert dot_plot([], "%", LIGHT).data == ()
    assert cost_quality_scatter([], COST_AXES["work"], "Retained", LIGHT).data == ()


def test_the_page_loads_no_torch():
    """Harm: a table of numbers waits ten seconds for a library that it does not use."""
    code = "import sys; import app.compare.experiment, app.compare.own_runs; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_every_grid_has_a_measure_and_a_title_that_people_read():
    """Harm: the select box shows `masked_accuracy`, or two experiments with one name."""
    from app.compare.experiment import measure_title

    titles = [grid.title for grid in GRIDS.values()]
    assert len(set(titles)) == len(titles)
    assert all("_" not in measure_title(name) for grid in GRIDS.values() for name in grid.measures)


def test_real_models_stand_on_an_axis_of_millions():
    """Harm: 22,700 thousand parameters, which nobody reads as 22.7 million; or a unit whose numbers stayed the same."""
    points = [PlacedPoint("a", "s", x, 50.0, None, 1, "") for x in (8_696.0, 22_744.0)]
    larger, axis = in_fitting_unit(points, COST_AXES["parameters"])
    assert axis.unit == "million parameters"
    assert [point.x for point in larger] == pytest.approx([8.696, 22.744])
    assert axis.scale * larger[0].x == pytest.approx(COST_AXES["parameters"].scale * points[0].x)
    assert in_fitting_unit([replace(points[0], x=848.0)], COST_AXES["parameters"]) == (
        [replace(points[0], x=848.0)],
        COST_AXES["parameters"],
    )
    assert in_fitting_unit(points, COST_AXES["seconds"]) == (points, COST_AXES["seconds"])
    assert in_fitting_unit([], COST_AXES["bytes"]) == ([], COST_AXES["bytes"])
