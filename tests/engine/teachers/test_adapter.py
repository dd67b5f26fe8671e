"""An adapter: into a file, onto the original, and refused elsewhere."""

import pytest
import torch

from engine.methods.adapt import Adapt, AdaptOptions
from engine.model.bert import Bert
from engine.teachers.adapter import AdapterError, add_adapter, write_adapter
from tests.fixtures.builders import masked_batch, randomise, teacher

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
