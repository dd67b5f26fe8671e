"""Scores on tasks: made once, and what of them is retained."""

import numpy as np
import pytest

from engine.model.bert import new_bert
from engine.settings.device import pick_device
from engine.tasks import scores
from engine.tasks.labelled import TaskError
from engine.tasks.scores import retained_score, score_task
from tests.fixtures.builders import tokenizer
from tests.fixtures.easy_task import EASY


def test_scores_are_made_once(fresh, monkeypatch, tmp_path):
    """Harm: a table that takes an hour to show again; or a new model with an old model's score."""
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path))
    first = score_task(fresh, tokenizer(), EASY, None, 2, pick_device("cpu"))
    assert set(first["scores"]) == {"accuracy", "f1"}
    assert first["scores"]["accuracy"]["mean"] == pytest.approx(np.mean(first["scores"]["accuracy"]["values"]))
    assert first["recipe"]["method"] == "probe"
    monkeypatch.setattr(scores, "FrozenFeatures", None)  # from here on nothing may be computed
    assert score_task(fresh, tokenizer(), EASY, None, 2, pick_device("cpu"))["scores"] == first["scores"]
    assert score_task(fresh, tokenizer(), EASY, None, 1, pick_device("cpu"))["scores"]["accuracy"]["interval"] is None
    with pytest.raises(TypeError):
        score_task(new_bert(fresh.shape, seed=5), tokenizer(), EASY, None, 1, pick_device("cpu"))
    with pytest.raises(TypeError):
        score_task(fresh, tokenizer(), EASY, None, 3, pick_device("cpu"))
    with pytest.raises(TaskError, match="At least one seed"):
        score_task(fresh, tokenizer(), EASY, None, 0, pick_device("cpu"))


def test_what_is_retained_is_a_ratio_of_means():
    """Harm: the figure in the table is not the one in the chart, or of another metric."""
    student, guide = (
        {"metric": "f1", "scores": {"f1": {"values": values}, "accuracy": {"values": [9.0]}}}
        for values in ([0.4, 0.5], [0.9, 0.9])
    )
    found = retained_score(student, guide)
    assert found["retained"] == pytest.approx(0.5)
    assert found["interval"] == pytest.approx(12.706 * 0.05 / 0.9, rel=1e-3)
