"""A run becomes an adapter, or says why not."""

import json

import pytest

from engine.model.saved_models import load_model
from engine.teachers.adapter import AdapterError
from engine.teachers.adapter_export import export_adapter
from tests.fixtures.builders import finish, new_run, tiny

pytestmark = pytest.mark.usefixtures("few_held_out")


def test_a_run_becomes_an_adapter_with_its_scores(tmp_path):
    """Harm: a number on the adapter's card that what is in the file does not reach."""
    config = tiny("adapt", steps=6, teacher="microworld", options={"rank": 2})
    run = new_run(tmp_path, config)
    finish(config, run)
    card = export_adapter(run, tmp_path / "adapter")
    assert json.loads((tmp_path / "adapter" / "card.json").read_text()) | {"bytes": card["bytes"]} == card
    assert card["scores"]["masked_accuracy"] == pytest.approx(
        load_model(run.student_dir).card["scores"]["masked_accuracy"], abs=0.02
    )
    assert 0.5 < card["scores"]["sentence_cosine"] <= 1
    with pytest.raises(AdapterError, match="nothing is overwritten"):
        export_adapter(run, tmp_path / "adapter")


def test_other_runs_have_no_adapter(tmp_path):
    """Harm: an empty file that is shipped."""
    config = tiny("scratch", steps=2)
    run = new_run(tmp_path, config)
    finish(config, run)
    with pytest.raises(AdapterError, match="was no adaptation"):
        export_adapter(run, tmp_path / "adapter")
    assert not (tmp_path / "adapter").exists()
