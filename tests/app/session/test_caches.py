"""What all sessions share: the report of a run as one page. Run without a browser."""

from app.session import caches
from engine.storage.runs import list_runs


def test_what_is_seen_can_be_taken_along_as_one_page(opened, runs, ids, monkeypatch) -> None:
    """Harm: a report button that gives a traceback, or a page that lacks the run that it is about."""
    monkeypatch.setattr(caches, "RUNS", runs)
    for run in list_runs(runs):
        page = caches.report_html(run)
        assert page.startswith("<!doctype html>")
        assert run.id in page
        assert 'id="attention"' in page
    (run.student_dir / "model.safetensors").rename(run.path / "away")
    try:
        assert "<p>" in caches.report_html(run)
        assert 'id="attention"' not in caches.report_html(run)
    finally:
        (run.path / "away").rename(run.student_dir / "model.safetensors")
    labels = [button.proto.label for button in opened("Attention").get("download_button")]
    assert "This attention as a page" in labels
