"""The verb report: a page that needs nothing but itself."""

import json
import re

from engine.__main__ import main


def test_a_report_holds_the_run_and_reaches_for_nothing(finished, tmp_path, capsys) -> None:
    """Harm: a page that is handed in lacks its numbers, or stays empty where there is no network."""
    runs, card, _ = finished
    page, look = tmp_path / "report.html", tmp_path / "look.html"
    assert main(["report", card["id"], "--runs", str(runs), "--html", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"html": str(page)}
    text = page.read_text(encoding="utf-8")
    assert f"{card['parameters']:,}" in text
    assert f"{card['scores']['retained']:.1%}" in text
    assert re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?\s*(?:https?:)?//", text) == []
    hostile = "the girl </script><script>alert(1)</script> sleeps ."
    assert main(["attention", card["id"], hostile, "--html", str(look), "--runs", str(runs)]) == 0
    assert "<script>alert" not in look.read_text(encoding="utf-8")
    assert "Student" in look.read_text(encoding="utf-8")
    assert main(["report", card["id"], "--runs", str(runs), "--html", str(tmp_path)]) == 2
