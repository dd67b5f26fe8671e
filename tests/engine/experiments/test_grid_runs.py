"""A grid at the smallest scale there is: done once, measured, kept."""

import json

import pytest

from engine.__main__ import main
from engine.cli import recipe
from engine.experiments.grid import Grid, Row
from engine.experiments.outcome import read_outcome
from engine.storage.runs import list_runs

pytestmark = pytest.mark.usefixtures("few_held_out")
OPTIONS = {"sharing": "all", "embedding": 8}
SMALL = {
    "teacher": "blank", "corpus": "microworld", "steps": 4, "batch": 4, "length": 32, "evaluations": 1,
    "student": {"layers": 1, "hidden": 16, "heads": 2}, "method": "albert", "checkpoints": 2,
}  # fmt: skip
TINY = Grid(
    "tiny",
    "Tiny",
    "A grid for tests.",
    SMALL,
    (
        Row("none", "nothing", "", {"options": {**OPTIONS, "pairs": "none"}}, paper=79.0),
        Row("sop", "order", "", {"options": {**OPTIONS, "pairs": "sop"}}, "none", paper=80.1),
    ),
    ("masked_accuracy", "pair_accuracy"),
    "A paper",
    seeds=2,
    timed=True,
    with_teacher=True,
)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """(folder of runs, stdout as JSON, stderr of a second time) of the tiny grid done by the command line."""
    folder = tmp_path_factory.mktemp("grid")
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(recipe.GRIDS, "tiny", TINY)
        assert main(["recipe", "tiny", "--runs", str(folder / "runs"), "--save", str(folder / "saved")]) == 0
    return folder


def test_a_grid_is_done_once_and_kept(done, capsys, monkeypatch):
    """Harm: hours of training again for the same table, a JSON that scripts cannot read, a result that is nowhere."""
    monkeypatch.setitem(recipe.GRIDS, "tiny", TINY)
    assert main(["recipe", "tiny", "--runs", str(done / "runs"), "--json"]) == 0
    told = capsys.readouterr()
    assert told.err.count("has done this before") == 4
    assert len(list_runs(done / "runs")) == 4
    answer = json.loads(told.out)
    saved = read_outcome(done / "saved" / "tiny.json")
    assert saved == read_outcome(done / "runs" / "experiments" / "tiny.json")
    assert saved.complete
    assert [row["name"] for row in answer["rows"]] == ["teacher", "none", "sop"]
    assert answer["rows"][2]["measured"]["masked_accuracy"]["values"] == list(
        saved.rows[2].measured["masked_accuracy"].values
    )


def test_a_grid_measures_what_its_runs_did(done):
    """Harm: a row shows another run's number, or a time that is not its own."""
    saved = read_outcome(done / "saved" / "tiny.json")
    runs = {run.id: run for run in list_runs(done / "runs")}
    for row in saved.rows[1:]:
        for seed, id, accuracy, seconds in zip(
            row.seeds, row.runs, row.measured["masked_accuracy"].values, row.measured["seconds"].values, strict=True
        ):
            card = runs[id].card()
            assert card["seed"] == seed
            assert card["options"]["pairs"] == row.name
            assert card["scores"]["masked_accuracy"] == accuracy
            assert 0 < seconds < card["seconds"]
    assert "pair_accuracy" not in saved.row("none").measured
    assert saved.row("sop").differences.keys() >= {"masked_accuracy"}
    assert 0.02 < saved.nulls["masked_accuracy"] < 0.3
    assert saved.row("teacher").measured["retained"].values == (1.0,)


def test_other_settings_make_another_file(done, capsys, monkeypatch):
    """Harm: a quick try with one step overwrites the result of a night."""
    monkeypatch.setitem(recipe.GRIDS, "tiny", TINY)
    before = (done / "runs" / "experiments" / "tiny.json").read_bytes()
    assert main(["recipe", "tiny", "--steps", "1", "--seeds", "1", "--runs", str(done / "runs")]) == 0
    assert (done / "runs" / "experiments" / "tiny.json").read_bytes() == before
    (other,) = (done / "runs" / "experiments").glob("tiny-*.json")
    assert "--steps 1 --seeds 1" in read_outcome(other).card["command"]
    assert "| sop" in capsys.readouterr().out.replace("| order", "| sop")


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["--probe"], "has no --probe"),
        (["--tasks", "grammar"], "has no --tasks"),
        (["--seeds", "0"], "At least one seed"),
        (["--teacher", "nobody"], "There is no teacher 'nobody'"),
        (["--steps", "-1"], "steps must be"),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_begins(more, says, tmp_path, capsys, monkeypatch):
    """Harm: an hour of training before a typing error is noticed, or an option that silently does nothing."""
    monkeypatch.setitem(recipe.GRIDS, "tiny", TINY)
    assert main(["recipe", "tiny", *more, "--runs", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
