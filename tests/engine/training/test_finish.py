"""What a finished run leaves in its folder."""

import pytest

from engine.model.saved_models import CheckpointError, load_lineage, load_model
from tests.fixtures.builders import finish, new_run, tiny

pytestmark = pytest.mark.usefixtures("few_held_out")


@pytest.mark.usefixtures("few_held_out")
def test_what_a_student_is_made_of_lies_beside_it(tmp_path):
    """Harm: the compactors are thrown away after the fold, and nobody can ever draw the student's ancestry."""
    config = tiny("wid", options={"cuts": 2})
    run = new_run(tmp_path, config)
    finish(config, run)
    lineage, shape = load_lineage(run.student_dir), load_model(run.student_dir).bert.shape
    assert lineage["attentions.0.query.column"].shape[0] == len(lineage["dims.attention 0"]) == shape.inner
    assert lineage["attentions.0.query.row"].shape[1] == len(lineage["dims.residual"]) == shape.hidden
    (run.student_dir / "lineage.safetensors").write_bytes(b"torn")
    with pytest.raises(CheckpointError, match="damaged"):
        load_lineage(run.student_dir)
    scratch = new_run(tmp_path, tiny("scratch", steps=2))
    finish(tiny("scratch", steps=2), scratch)
    assert load_lineage(scratch.student_dir) == {}
