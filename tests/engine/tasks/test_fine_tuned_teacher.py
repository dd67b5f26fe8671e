"""A teacher that has learned a task: made once, and kept."""

import pytest
import torch

from engine.model.new_head import with_pooler
from engine.storage.cache import writable_cache_folder
from engine.tasks import fine_tuned_teacher as taught_module
from engine.tasks.batches import open_task
from engine.tasks.fine_tuned_teacher import fine_tuned_teacher
from engine.tasks.finetune import FineTuneRecipe
from tests.fixtures.builders import CPU, returned, teacher, tokenizer

QUICK = FineTuneRecipe(epochs=3, lr=5e-3, pooling="cls")


pytestmark = pytest.mark.usefixtures("few_held_out")


def test_a_teacher_is_made_once_and_leaves_no_trace_in_the_random_numbers(easy, monkeypatch, tmp_path):
    """Harm: minutes of fine-tuning at every start; or a run that goes otherwise when its teacher was in the cache."""
    monkeypatch.setenv("HEIRLOOM_CACHE", str(tmp_path))
    big, data = with_pooler(teacher(), 0), open_task(easy, tokenizer(), 32)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    shares = []
    work = fine_tuned_teacher(big, data, QUICK, 0, CPU)
    while True:
        try:
            shares.append(next(work))
        except StopIteration as end:
            made = end.value
            break
    assert shares == sorted(shares)
    assert shares[-1] <= 1
    assert torch.equal(torch.rand(3), expected)
    monkeypatch.setattr(taught_module, "fine_tune_in_steps", None)  # asked again, it would fail
    kept = returned(fine_tuned_teacher(big, data, QUICK, 0, CPU))
    assert all(torch.equal(a, b) for a, b in zip(made.state_dict().values(), kept.state_dict().values(), strict=True))
    (file,) = writable_cache_folder("taught").glob("*.safetensors")
    file.write_bytes(b"damaged")
    with pytest.raises(TypeError):  # it wants to learn anew
        returned(fine_tuned_teacher(big, data, QUICK, 0, CPU))
    with pytest.raises(TypeError):  # another seed is another teacher
        returned(fine_tuned_teacher(big, data, QUICK, 1, CPU))
