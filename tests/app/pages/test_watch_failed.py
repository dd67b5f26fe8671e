"""The watch page of a run that failed, or that went on from an older checkpoint: what is said, and what is offered."""

import pytest
from streamlit.testing.v1 import AppTest

from app.elements.text import escape_markdown
from app.session import caches
from engine.settings.project import PROJECT
from engine.storage.checksums import write_checksums
from engine.storage.runs import Run, create_run


@pytest.fixture
def run(tmp_path, monkeypatch) -> Run:
    """A run that failed with a checkpoint."""
    monkeypatch.setattr(caches, "RUNS", tmp_path)
    made = create_run(tmp_path, {"method": "wid"}, "failed")
    made.append({"kind": "queued"})
    checkpoint = made.checkpoints_dir / "step-000000020"
    checkpoint.mkdir(parents=True)
    (checkpoint / "state.pt").write_bytes(b"whole")
    write_checksums(checkpoint)
    return made


def page(run: Run) -> AppTest:
    """The watch page, open at `run`."""
    opened = AppTest.from_file(PROJECT / "streamlit_app.py", default_timeout=120)
    opened.query_params["run"] = run.id
    opened.run()
    opened.switch_page("app/pages/watch.py")
    opened.query_params["run"] = run.id
    opened.run()
    assert not opened.exception
    return opened


def buttons(opened: AppTest) -> list[str]:
    """What can be pressed."""
    return [button.label for button in opened.button]


def test_a_failed_run_with_a_whole_checkpoint_offers_to_go_on(run) -> None:
    """Harm: a disk that was full for a minute ends a run of a day, whose checkpoints are good."""
    run.append({"kind": "failed", "message": "The disk is full."})
    opened = page(run)
    assert "Resume" in buttons(opened)
    assert [error.value for error in opened.error] == [escape_markdown("The disk is full.")]
    (run.checkpoints_dir / "step-000000020" / "state.pt").write_bytes(b"who")
    assert "Resume" not in buttons(page(run))


def test_what_was_passed_over_is_told_for_this_start_only(run) -> None:
    """Harm: a run goes back an hour, and nobody knows why; or a warning of last week that never goes."""
    said = "The checkpoint step-000000040 is damaged: state.pt is missing. The run goes on from step 20."
    run.append({"kind": "notice", "message": said})
    run.append({"kind": "stopped"})
    assert [warning.value for warning in page(run).warning] == [escape_markdown(said)]
    run.append({"kind": "queued"})
    run.append({"kind": "stopped"})
    assert not page(run).warning


def test_a_resume_that_is_refused_is_a_sentence(run, monkeypatch) -> None:
    """Harm: a traceback in the place of "another process works on it"."""
    from engine.storage.runs import RunError
    from engine.training import job

    def refuse(run: Run) -> None:
        raise RunError("A process still works on it.")

    monkeypatch.setattr(job, "resume", refuse)
    run.append({"kind": "stopped"})
    opened = page(run)
    next(button for button in opened.button if button.label == "Resume").click().run()
    assert not opened.exception
    assert escape_markdown("A process still works on it.") in [error.value for error in opened.error]
