"""A run that is wanted is found, gone on with, or made."""

import pytest

from engine.storage.runs import create_run, list_runs
from engine.training import find_or_run
from tests.fixtures.builders import tiny

pytestmark = pytest.mark.usefixtures("few_held_out")


def test_a_run_that_was_begun_goes_on(tmp_path):
    """Harm: a power cut at the last of thirty runs, and its hour is lost; or a failed run is taken for a result."""
    config, said = tiny("scratch", 6), []
    run = create_run(tmp_path, config.to_json(), "scratch-recipe")
    run.append({"kind": "stopped", "message": "Stopped before training began."})
    failed = create_run(tmp_path, config.to_json(), "scratch-recipe")
    failed.append({"kind": "failed", "message": "The disk was full."})
    found = find_or_run.find_or_run(config, tmp_path, "a row", said.append)
    assert found.id == run.id
    assert found.status() == "finished"
    assert "goes on" in said[0]
    assert find_or_run.find_or_run(config, tmp_path, "a row", said.append).id == run.id
    assert len(list_runs(tmp_path)) == 2
