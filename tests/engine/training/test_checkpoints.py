"""Checkpoints: all that a run needs to go on, and nothing that is torn or foreign."""

import pytest
import torch

from engine.methods.base import adamw
from engine.model.saved_models import CheckpointError
from engine.training.checkpoints import load_checkpoint, restore_parameters, restore_random_state, save_checkpoint
from tests.fixtures.builders import masked_batch, teacher


def step_of(bert, optimizer):
    """One optimizer step."""
    optimizer.zero_grad()
    bert(masked_batch().ids).sum().backward()
    optimizer.step()


def test_a_checkpoint_gives_back_everything(tmp_path):
    """Harm: a resumed optimizer that has forgotten its momentum."""
    bert = teacher()
    optimizer = adamw([(bert, 1e-3)])
    step_of(bert, optimizer)
    save_checkpoint(tmp_path / "checkpoints", 7, bert, optimizer, {"groups": {"a": torch.arange(3)}, "left": {"a": 2}})
    state = load_checkpoint(tmp_path / "checkpoints")
    again = teacher()
    restore_parameters(again, state["student"])
    resumed = adamw([(again, 1e-3)])
    resumed.load_state_dict(state["optimizer"])
    step_of(bert, optimizer)
    step_of(again, resumed)
    assert all(torch.equal(p, q) for p, q in zip(bert.parameters(), again.parameters(), strict=True))
    assert state["step"] == 7
    assert state["extra"]["left"] == {"a": 2}
    assert torch.equal(state["extra"]["groups"]["a"], torch.arange(3))


def test_the_two_newest_checkpoints_are_kept_and_a_torn_one_never_counts(tmp_path, monkeypatch):
    """Harm: a disk full of optimizer states; or a crash while saving costs the whole run."""
    folder, bert = tmp_path / "checkpoints", teacher(layers=1)
    optimizer = adamw([(bert, 1e-3)])
    assert load_checkpoint(folder) is None
    for step in (9, 10, 100):
        save_checkpoint(folder, step, bert, optimizer, {})
        assert load_checkpoint(folder)["step"] == step
        assert len(list(folder.iterdir())) <= 2
    assert [path.name for path in sorted(folder.iterdir())] == ["step-000000010", "step-000000100"]

    def torn(state, file):
        file.write(b"PK half")
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", torn)
        with pytest.raises(OSError, match="No space"):
            save_checkpoint(folder, 200, bert, optimizer, {})
    assert load_checkpoint(folder)["step"] == 100


def test_the_random_state_goes_on_where_it_was(tmp_path):
    """Harm: a resumed run that draws other numbers than the uninterrupted one would have drawn."""
    bert = teacher(layers=1)
    torch.manual_seed(3)
    torch.rand(5)
    save_checkpoint(tmp_path, 1, bert, adamw([(bert, 1e-3)]), {})
    expected = torch.rand(5)
    torch.manual_seed(4)
    state = load_checkpoint(tmp_path)["random"]
    restore_random_state(state)
    assert torch.equal(torch.rand(5), expected)
    here = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    assert set(state) == {name for name, present in here.items() if present}


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 half", b"\x80\x02c__builtin__\neval\n."])
def test_a_damaged_checkpoint_is_one_sentence_and_runs_no_code(tmp_path, damage):
    """Harm: a traceback; or a pickle from elsewhere that is executed."""
    place = tmp_path / "step-000000005"
    place.mkdir()
    (place / "state.pt").write_bytes(damage)
    with pytest.raises(CheckpointError, match="step-000000005 is damaged") as caught:
        load_checkpoint(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_checkpoint_of_another_student_is_refused(tmp_path):
    """Harm: a run that continues from another method's weights."""
    with pytest.raises(CheckpointError, match="another kind of student"):
        restore_parameters(teacher(), dict(teacher(tied=False).named_parameters()))
