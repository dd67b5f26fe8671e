"""A step in parts is the step."""

import math

import pytest
import torch

from engine.methods.registry import METHODS
from engine.model.saved_models import load_model
from engine.text.corpora import Batch, Corpus
from tests.fixtures.builders import finish, losses, new_run, tiny

pytestmark = pytest.mark.usefixtures("few_held_out")


@pytest.mark.parametrize("method", METHODS)
def test_micro_batches_add_up_to_the_batch(method, tmp_path):
    """Harm: a run that is split to fit into memory learns something else, for its parts hide unequally many words."""
    results = []
    for accumulate in (1, 3):  # 5 rows: parts of 1, 2 and 2
        changes = {"options": {"cuts": 2}} if method == "wid" else {}
        changes |= {"student": {"layers": 1}} if method == "distilbert" else {}  # its width is its teacher's
        config = tiny(method, steps=14, batch=5, accumulate=accumulate, **changes)
        run = new_run(tmp_path, config)
        results.append((losses(finish(config, run)), load_model(run.student_dir).bert.state_dict()))
    (whole, student), (split, same) = results
    near = 2e-3 if method == "int8" else 1e-5  # what lies between two of int8's steps may be rounded to either
    assert split == pytest.approx(whole, abs=near)
    for name, tensor in student.items():
        step = near if tensor.is_floating_point() else 1
        if not name.endswith("key.bias"):  # nothing behind a softmax depends on it: its gradient is rounding
            torch.testing.assert_close(same[name], tensor, rtol=0, atol=step, msg=name)


def test_a_part_without_a_hidden_word_teaches_nothing(tmp_path, monkeypatch):
    """Harm: one row of unknown words, whose mean loss is no number, ends the run or spoils every weight."""
    config = tiny("scratch", steps=3, batch=2, accumulate=2)
    batch_of = Corpus.batch

    def batch(corpus, step, size, seed):
        found = batch_of(corpus, step, size, seed)
        first = found.positions < found.ids.shape[1]
        return Batch(found.ids, found.visible, found.positions[first], found.targets[first])

    monkeypatch.setattr(Corpus, "batch", batch)
    run = new_run(tmp_path, config)
    assert all(map(math.isfinite, losses(finish(config, run)).values()))
    assert all(tensor.isfinite().all() for tensor in load_model(run.student_dir).bert.state_dict().values())
