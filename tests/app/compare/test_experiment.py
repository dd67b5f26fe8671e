"""One experiment on the compare page: its numbers, the paper's beside them, nothing of a bad file."""

import json
from dataclasses import replace

import pytest

from engine.cli.recipe import GRIDS
from tests.fixtures.experiments import crossed, experiment, finished, replayed, row
from tests.fixtures.page_reading import html

HOSTILE = "<img src=x onerror=alert(1)> [link](http://example.com) $x$"


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


def test_every_grid_has_a_measure_and_a_title_that_people_read():
    """Harm: the select box shows `masked_accuracy`, or two experiments with one name."""
    from app.compare.experiment import measure_title

    titles = [grid.title for grid in GRIDS.values()]
    assert len(set(titles)) == len(titles)
    assert all("_" not in measure_title(name) for grid in GRIDS.values() for name in grid.measures)
