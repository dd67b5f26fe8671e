"""The verb recipe: a whole experiment at the smallest scale there is."""

import json

import pytest

from engine.__main__ import main
from engine.settings.run_config import RunConfig
from engine.storage.runs import list_runs

pytestmark = pytest.mark.usefixtures("few_held_out")


TINY = ["recipe", "microworld-small", "--steps", "3", "--batch", "4", "--seeds", "2", "--limit", "30", "--probe"]


def test_an_experiment_is_done_once(tmp_path, capsys, monkeypatch):
    """Harm: a table that leaves out a method; or hours of training again for the same table."""
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path / "cache"))
    assert main([*TINY, "--runs", str(tmp_path / "runs"), "--json"]) == 0
    first = json.loads(capsys.readouterr().out)
    assert list(first["models"]) == ["teacher", "wid", "soft_targets", "scratch"]
    configs = [RunConfig.from_json(run.config()) for run in list_runs(tmp_path / "runs")]
    assert len({(c.steps, c.batch, c.seed, c.corpus, str(c.student)) for c in configs}) == 1  # an equal budget
    for row in first["models"].values():
        task = row["tasks"]["grammar"]
        assert len(task["values"]) == 2
        assert task["retained"] == pytest.approx(task["mean"] / first["models"]["teacher"]["tasks"]["grammar"]["mean"])
    assert main([*TINY, "--runs", str(tmp_path / "runs")]) == 0
    told = capsys.readouterr()
    assert told.err.count("has done this before") == 3
    assert len(list_runs(tmp_path / "runs")) == 3
    lines = [line for line in told.out.splitlines() if line.startswith("|")]
    assert len(lines) == 2 + 4
    assert len({line.count("|") for line in lines}) == 1
    assert f"{100 * first['models']['wid']['tasks']['grammar']['mean']:.1f} ±" in told.out


@pytest.mark.parametrize(
    ("more", "says"),
    [
        (["recipe", "magic"], "There is no recipe 'magic'"),
        ([*TINY, "--tasks", "magic"], "There is no task 'magic'"),
        ([*TINY, "--teacher", "nobody"], "There is no teacher 'nobody'"),
        ([*TINY, "--seeds", "0"], "--seeds must be at least 1"),
    ],
)
def test_what_cannot_be_done_is_refused_before_it_begins(more, says, tmp_path, capsys):
    """Harm: an hour of training before a typing error is noticed."""
    assert main([*more, "--runs", str(tmp_path)]) == 2
    assert says in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
