"""From heir to plain student: folding while it trains, lineage, pictures, checkpoints."""

import base64
import json

import numpy as np
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from engine.methods.wid import Wid
from engine.model.bert import Bert
from engine.training.checkpoints import load_checkpoint, restore_parameters, save_checkpoint
from tests.fixtures.builders import masked_batch
from tests.fixtures.lesson import CASES, Lesson, logits


def test_once_all_is_closed_the_plain_student_goes_on(lesson):
    """Harm: the change of form changes what is computed, comes too early, or leaves an optimizer of the old weights."""
    changed = []
    while lesson.done < lesson.steps:
        numbers = lesson.step()
        student, optimizer = lesson.method.next_form(lesson.heir, lesson.optimizer)
        if student is not lesson.heir:
            changed.append(lesson.done)
            break
        assert optimizer is lesson.optimizer
    assert changed == [lesson.interval * (lesson.schedule.last_cut + 1)]
    assert isinstance(student, Bert)
    assert student.shape == lesson.shape
    torch.testing.assert_close(logits(student), logits(lesson.heir), rtol=0, atol=1e-4)
    held = {id(p) for group in optimizer.param_groups for p in group["params"]}
    assert held == {id(p) for p in student.parameters()}
    assert {group["lr"] for group in optimizer.param_groups} == {lesson.method.options.student_lr}
    assert not optimizer.state
    # what is told of it stays what it was
    assert lesson.method.after_backward(student, optimizer, lesson.done + 1) == numbers
    picture = lesson.method.snapshot(student, tokens=120, length=20, predicted=18)
    before = lesson.method.snapshot(lesson.heir, tokens=120, length=20, predicted=18)
    assert picture["groups"] == before["groups"]
    assert picture["multiply_adds_per_token"] < before["multiply_adds_per_token"]
    lineage, expected = lesson.method.lineage(student), lesson.heir.lineage()
    assert set(lineage) == set(expected)
    assert all(torch.equal(lineage[name], expected[name]) for name in expected)
    assert lesson.method.next_form(student, optimizer) == (student, optimizer)


def test_kept_compactors_stay_to_the_end():
    """Harm: the `paper` preset trains another parametrisation than the authors did."""
    assert Wid.about.presets["paper"]["after_closing"] == "kept"
    lesson = Lesson(*CASES["dim"][:2], {"after_closing": "kept"}).run()
    assert lesson.method.next_form(lesson.heir, lesson.optimizer) == (lesson.heir, lesson.optimizer)


def test_a_folded_student_comes_back_from_its_checkpoint(lesson, tmp_path):
    """Harm: a run killed in its second half cannot go on, or goes on without knowing what it was made of."""
    lesson.run()
    student, optimizer = lesson.method.next_form(lesson.heir, lesson.optimizer)
    save_checkpoint(tmp_path, lesson.done, student, optimizer, {"method": lesson.method.state(student)})
    saved = load_checkpoint(tmp_path)
    other = Wid(lesson.method.options, lesson.steps)
    again = other.restore(other.init_student(lesson.bert, lesson.shape, seed=0), saved["extra"]["method"])
    restore_parameters(again, saved["student"])
    assert torch.equal(logits(again), logits(student))
    lineage = other.lineage(again)
    assert all(torch.equal(lineage[name], tensor) for name, tensor in lesson.method.lineage(student).items())
    ours, theirs = (m.snapshot(student, 120, 20, 18) for m in (other, lesson.method))
    assert ours == theirs


def test_lineage_rebuilds_the_student_from_its_teacher(lesson):
    """Harm: an ancestry page that shows other compactors than those that made the student."""
    lesson.run()
    weights = {name: p.detach().clone() for name, p in lesson.heir.inherited.named_parameters()}
    student = dict(lesson.method.finish(lesson.heir).named_parameters())
    kept = lesson.method.lineage(lesson.heir)
    for name in ("attentions.0.output", "ffns.1.up", "ffns.1.down", "head.transform", "attentions.1.value"):
        found = kept[f"{name}.column"].float() @ weights[f"{name}.weight"] @ kept[f"{name}.row"].float()
        torch.testing.assert_close(found, student[f"{name}.weight"], rtol=0, atol=5e-3)
    assert len(kept["dims.attention 0"]) == lesson.shape.inner
    assert len(kept["dims.residual"]) == lesson.shape.hidden


def test_a_picture_says_what_is_open(lesson):
    """Harm: the heatmap shows open dims as closed, or in the wrong column."""
    for _ in range(lesson.interval * 2 + 1):
        lesson.step()
    picture = lesson.method.snapshot(lesson.heir, tokens=120, length=20, predicted=18)
    for drawn in picture["groups"]:
        group = lesson.heir.groups[drawn["name"]]
        norms = np.frombuffer(base64.b64decode(drawn["norms"]), np.uint8)
        assert len(norms) == drawn["full"] == group.full
        gone = np.setdiff1d(np.arange(group.full), group.dims.numpy())
        assert (norms[gone] == 0).all()
        expected = 100 * group.vector_norms().numpy()
        np.testing.assert_allclose(norms[group.dims.numpy()], expected.clip(0, 255), atol=0.51)
        assert drawn["present"] == len(group.dims)
        assert drawn["kept"] == group.open_count
    json.dumps(picture)


@pytest.mark.parametrize("state", ["born", "half", "closed"])
def test_counted_multiply_adds_are_torch_s_own_count(state):
    """Harm: a speed-up on paper. The FLOP counter sees every matrix product that really runs."""
    lesson = Lesson({}, {"hidden": 8, "heads": 4, "ffn": 12}, {})
    for _ in range({"born": 0, "half": lesson.interval * 2 + 1, "closed": 39}[state]):
        lesson.step()
    batch = masked_batch(seed=5)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        trace = {"attentions": []}  # spelled out, because the fused kernel of the CPU is not counted
        lesson.heir(batch.ids, batch.visible, positions=batch.positions, trace=trace)
    rows, length = batch.ids.shape
    found = lesson.heir.multiply_adds(rows * length, length, len(batch.positions))
    assert found == counter.get_total_flops() // 2


@pytest.mark.parametrize("cuts", [0.5, 2.5, 9])
def test_a_checkpoint_folds_to_what_the_live_heir_folds_to(lesson, cuts, tmp_path):
    """Harm: the student that is exported from a resumed run is not the one that was trained."""
    while lesson.done < min(lesson.interval * cuts, lesson.steps - 1):
        lesson.step()
    extra = {"method": lesson.method.state(lesson.heir)}
    save_checkpoint(tmp_path, lesson.done, lesson.heir, lesson.optimizer, extra)
    saved = load_checkpoint(tmp_path)
    again = lesson.method.restore(
        lesson.method.init_student(lesson.bert, lesson.shape, seed=0), saved["extra"]["method"]
    )
    restore_parameters(again, saved["student"])
    torch.testing.assert_close(logits(again), logits(lesson.heir), rtol=0, atol=0)
    live, restored = (lesson.method.finish(heir) for heir in (lesson.heir, again))
    assert live.shape == restored.shape
    torch.testing.assert_close(logits(restored), logits(live), rtol=0, atol=0)
