"""The verb evaluate: a student beside its teacher, by as many rows as are wanted."""

import json
import re

import pytest

from engine.__main__ import main


def test_attention_and_evaluate_speak_of_the_student(finished, capsys) -> None:
    """Harm: a verb works for teachers only."""
    runs, card, _ = finished
    assert main(["attention", card["id"], "The girl washes herself.", "--runs", str(runs), "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert len(seen["attentions"]) == card["shape"]["layers"]
    assert seen["tokens"][0] == "[CLS]"
    assert main(["evaluate", card["id"], "--runs", str(runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["masked_accuracy"] == pytest.approx(
        card["scores"]["masked_accuracy"], abs=0.02
    )  # longer rows than the run's own, otherwise the same


def test_evaluate_scores_as_many_rows_as_are_wanted(capsys) -> None:
    """Harm: two teachers within the noise of 512 rows cannot be told apart."""
    found = {}
    for rows in (64, 512):
        assert main(["evaluate", "microworld", "--rows", str(rows), "--json"]) == 0
        found[rows] = json.loads(capsys.readouterr().out)
        assert found[rows]["rows"] == rows
    assert found[512]["masked_accuracy_interval"] == pytest.approx(0.02, abs=0.01)
    ratio = found[64]["masked_accuracy_interval"] / found[512]["masked_accuracy_interval"]
    assert ratio == pytest.approx(8**0.5, rel=0.1)
    assert main(["evaluate", "microworld", "--rows", "64"]) == 0
    told = capsys.readouterr().out
    assert "64 held-out rows of microworld" in told
    assert re.search(r"masked accuracy +\d+\.\d% \(\d+\.\d to \d+\.\d\)", told)


def test_evaluate_compares_a_student_with_its_teacher(finished, capsys) -> None:
    """Harm: a student's scores without the teacher's beside them, or a task that only teachers can be scored on."""
    runs, card, _ = finished
    assert main(["evaluate", card["id"], "--runs", str(runs), "--rows", "64", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["teacher"] == card["teacher"]
    assert set(found["report"]) == {"loss", "accuracy", "top5", "agreement", "kl"}
    task = ["--task", "grammar", "--probe", "--seeds", "2", "--limit", "60", "--runs", str(runs)]
    assert main(["evaluate", card["id"], *task, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["baseline"]["accuracy"] > 0
    assert found["recipe"]["method"] == "probe"
    assert found["retained"]["retained"] == pytest.approx(
        found["scores"]["accuracy"]["mean"] / found["teacher_scores"]["accuracy"]["mean"]
    )
    assert main(["evaluate", card["id"], *task]) == 0
    told = capsys.readouterr().out
    for words in ("always the most frequent", "retained", "spread", "recipe {"):
        assert words in told
