"""Set-up and methods that decide what becomes of a student before its first step."""

import pytest

from engine.model.saved_models import load_model
from engine.sizing.cost import parameters
from tests.fixtures.builders import finish, new_run, tiny

pytestmark = pytest.mark.usefixtures("few_held_out")


@pytest.mark.parametrize("method", ["head_pruning", "ffn_pruning"])
@pytest.mark.parametrize("importance", ["gradients", "weights"])
def test_what_a_method_decides_before_the_first_step_is_done(method, importance, tmp_path) -> None:
    """Harm: a pruning that needs no look at the corpus is skipped, and its "student" is the teacher."""
    options = {"batches": 1} | ({"importance": importance} if method == "ffn_pruning" else {})
    config = tiny(method, steps=0, options=options)
    events = finish(config, new_run(tmp_path, config))
    card = events[-1]["card"]
    assert card["complete"]
    assert card["parameters"] < card["teacher_parameters"]
    student = load_model(tmp_path / card["id"] / "student").bert
    assert card["parameters"] == parameters(student.shape) == sum(p.numel() for p in student.parameters())
    looked = [event["message"] for event in events if event["kind"] == "prepare" and "batches" in event["message"]]
    assert len(looked) == (importance == "gradients" or method == "head_pruning")
