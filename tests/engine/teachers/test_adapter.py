"""An adapter on its way: out of a run, into a file, onto the original."""

import json

import pytest
import torch

from engine.methods.adapt import Adapt, AdaptOptions
from engine.model.bert import Bert
from engine.model.saved_models import load_model
from engine.teachers.adapter import AdapterError, add_adapter, write_adapter
from engine.teachers.adapter_export import export_adapter
from tests.fixtures.builders import finish, masked_batch, new_run, randomise, teacher, tiny

pytestmark = pytest.mark.usefixtures("few_held_out")


@pytest.mark.parametrize("word_rank", [0, 2])
def test_original_and_adapter_are_the_student(tmp_path, word_rank):
    """Harm: the shipped teacher is not the one whose score is on its card."""
    original = randomise(Bert(teacher().shape.replace(mlm_head=False, pooler=True)), seed=3)
    method = Adapt(AdaptOptions(rank=3, word_rank=word_rank, attention=True), 1)
    student = method.init_student(original, method.student_shape(original.shape, {}), seed=0)
    with torch.no_grad():
        for parameter in student.parameters():  # as if it had learned something that int8 can hold
            parameter.add_(torch.randn_like(parameter) * 0.1)
            if parameter.ndim > 1:
                parameter.div_(parameter.abs().amax(1, keepdim=True) / 127).round_().div_(256)
    write_adapter(tmp_path / "adapter", method.lineage(student))
    whole, batch = add_adapter(original, tmp_path / "adapter"), masked_batch()
    with torch.no_grad():
        found, expected = (model(batch.ids, batch.visible) for model in (whole, method.finish(student)))
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
    assert original.head is None  # and is left as it was


def test_an_adapter_of_another_model_is_refused(tmp_path):
    """Harm: weights added to the wrong matrices, without a word."""
    method = Adapt(AdaptOptions(rank=2), 1)
    student = method.init_student(teacher(), method.student_shape(teacher().shape, {}), seed=0)
    write_adapter(tmp_path / "adapter", method.lineage(student))
    for other in (teacher(hidden=8, ffn=24), teacher(layers=1), teacher(ffn=32)):
        with pytest.raises(AdapterError, match="belongs to another model"):
            add_adapter(other, tmp_path / "adapter")


def test_a_damaged_or_missing_adapter_is_one_sentence(tmp_path):
    """Harm: a checkout without its assets shows a traceback."""
    with pytest.raises(AdapterError, match="missing or damaged"):
        add_adapter(teacher(), tmp_path)
    (tmp_path / "adapter.safetensors").write_bytes(b"x")
    with pytest.raises(AdapterError, match="missing or damaged"):
        add_adapter(teacher(), tmp_path)


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
