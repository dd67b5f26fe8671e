"""Runs that an earlier version made still open, go on and can be exported."""

import json
import shutil
from pathlib import Path

import pytest

from engine.inspection.probe import probe
from engine.model.export import export_model
from engine.model.saved_models import load_lineage, load_model
from engine.reports.run_report import run_report
from engine.settings.run_config import RunConfig
from engine.storage.runs import list_runs, open_run
from engine.teachers import catalog as teachers
from engine.training import job
from engine.training.plan import plan

OLD = Path(__file__).parents[2] / "fixtures" / "runs_2026_11"
EXPECTED = json.loads((OLD / "expected.json").read_text())
NAMES = sorted(path.name for path in OLD.iterdir() if path.is_dir())
STOPPED = sorted(EXPECTED)


@pytest.fixture
def root(tmp_path):
    """A copy of the old runs that a test may change."""
    return Path(shutil.copytree(OLD, tmp_path / "runs"))


def test_every_old_run_is_listed_with_its_status(root) -> None:
    """Harm: a new version shows a person none of the runs that were left overnight."""
    found = {run.id: run.status() for run in list_runs(root)}
    assert found == {name: "stopped" if name in STOPPED else "finished" for name in NAMES}


@pytest.mark.parametrize("name", NAMES)
def test_an_old_config_is_still_understood(root, name) -> None:
    """Harm: a renamed option or method makes every earlier config a mistake of the person who wrote it."""
    run = open_run(root, name)
    config = RunConfig.from_json(run.config())
    assert config.to_json() == run.config()
    planned = plan(config, root)
    card = run.card()
    if name != "heads-stopped":  # its layers are decided by the corpus, after planning
        assert json.loads(json.dumps(planned.shape.to_json())) == card["shape"] or not card["complete"]


@pytest.mark.parametrize("name", NAMES)
def test_an_old_student_opens_shows_its_attention_and_is_reported(root, name) -> None:
    """Harm: a student that trained for a day cannot be looked at any more."""
    model = load_model(root / name / "student")
    assert sum(p.numel() for p in model.bert.parameters()) > 0
    seen = probe(model.bert, model.tokenizer, "The girl near the boats washes herself.")
    assert seen.attentions[0].shape[-1] == len(seen.tokens)
    page = run_report(open_run(root, name), root)
    assert name in page
    assert "Traceback" not in page


def test_an_old_student_teaches(root) -> None:
    """Harm: the chain from teacher to assistant to student breaks with an update."""
    assert teachers.teacher_card("run:teacher", root).shape.hidden == 16
    assert teachers.load_teacher("run:wid-finished", root).bert.shape.hidden == 8


def test_an_old_student_is_exported(root, tmp_path) -> None:
    """Harm: the run is there, and what everybody else could load is not."""
    student = root / "wid-finished" / "student"
    export_model(load_model(student), tmp_path / "out", load_lineage(student))
    assert (tmp_path / "out" / "model.safetensors").is_file()


@pytest.mark.parametrize("name", STOPPED)
def test_an_old_checkpoint_goes_on_as_it_would_have(root, few_held_out, name) -> None:
    """Harm: a resumed run becomes another student than the one that was begun, without a word."""
    run, expected = open_run(root, name), EXPECTED[name]
    job.queue(run)
    events = list(job.perform(run))
    losses = {str(event["step"]): event["loss"] for event in events if event["kind"] == "step"}
    assert losses == pytest.approx(expected["losses"], abs=1e-4)
    card = run.card()
    assert card["parameters"] == expected["parameters"]
    assert card["complete"]
    assert card["scores"] == pytest.approx(expected["scores"], abs=0.03)
