import json
from contextlib import suppress

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine.methods.base import adamw
from engine.model import saved_models
from engine.model.bert import Bert
from engine.model.export import export_model
from engine.model.saved_models import CheckpointError, load_model, save_model
from engine.storage import atomic
from engine.training.checkpoints import load_checkpoint, restore_parameters, restore_random_state, save_checkpoint
from tests.fixtures.builders import masked_batch, randomise, teacher, tokenizer


@pytest.fixture
def saved(tmp_path):
    """A folder with a good model in it."""
    save_model(tmp_path / "student", teacher(), tokenizer(), {"id": "first", "scores": {"masked_loss": 1.5}})
    return tmp_path / "student"


def logits(bert):
    """Logits on one batch."""
    batch = masked_batch()
    with torch.no_grad():
        return bert(batch.ids, batch.visible)


# Models


def test_a_saved_model_comes_back_whole(saved):
    """Harm: the student that is examined is not the one that was trained."""
    model = load_model(saved)
    assert torch.equal(logits(model.bert), logits(teacher()))
    assert model.bert.shape == teacher().shape
    assert not model.bert.training
    assert model.card["id"] == "first"
    assert model.card["shape"] == teacher().shape.to_json()
    text = "the girl near the boats washes herself."
    assert model.tokenizer(text)["input_ids"] == tokenizer()(text)["input_ids"]


@pytest.mark.parametrize("name", ["card.json", "model.safetensors", "tokenizer.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "garbage", "[]"])
def test_a_damaged_model_is_one_sentence(saved, name, damage):
    """Harm: a page of traceback; or a model that loads with a part of it made up."""
    file = saved / name
    whole = file.read_bytes()
    if damage == "missing":
        file.unlink()
    else:
        harm = {"empty": b"", "half": whole[: len(whole) // 2], "garbage": b"\xff\xfe\x00" * 9, "[]": b"[]"}
        file.write_bytes(harm[damage])
    with pytest.raises(CheckpointError) as caught:
        load_model(saved)
    assert "\n" not in str(caught.value)
    assert "student" in str(caught.value)
    if damage == "missing":
        assert f"{name} is missing" in str(caught.value)


@pytest.mark.parametrize("card", [{}, {"shape": None}, {"shape": {"hidden": "16"}}, {"shape": {"width": 3}}])
def test_a_card_without_a_shape_is_one_sentence(saved, card):
    """Harm: a KeyError."""
    (saved / "card.json").write_text(json.dumps(card))
    with pytest.raises(CheckpointError) as caught:
        load_model(saved)
    assert "\n" not in str(caught.value)


def test_weights_of_another_shape_are_refused(saved):
    """Harm: a model half of whose tensors are zeros."""
    tensors = load_file(saved / "model.safetensors")
    del tensors["head.bias"]
    save_file(tensors, saved / "model.safetensors")
    with pytest.raises(CheckpointError, match=r"head\.bias") as caught:
        load_model(saved)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("moment", ["weights", "rename"])
def test_a_failed_save_leaves_the_old_model(saved, monkeypatch, moment):
    """Harm: a full disk at the end of a run destroys the student of the run before."""
    if moment == "weights":

        def torn(tensors, path):
            path.write_bytes(b"half of it")
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(saved_models, "save_file", torn)
    else:
        replace = atomic.os.replace

        def second_fails(source, target):
            if ".draft" in str(source):
                raise OSError(28, "No space left on device")
            replace(source, target)

        monkeypatch.setattr(atomic.os, "replace", second_fails)
    with pytest.raises(OSError, match="No space"):
        save_model(saved, randomise(Bert(teacher().shape), seed=9), tokenizer(), {"id": "second"})
    model = load_model(saved)
    assert model.card["id"] == "first"
    assert torch.equal(logits(model.bert), logits(teacher()))
    assert [path.name for path in saved.parent.iterdir()] == ["student"]  # no rubbish left behind


def test_a_second_save_replaces_the_first(saved):
    """Harm: a card beside the weights of another model."""
    other = randomise(Bert(teacher(layers=1).shape), seed=9)
    save_model(saved, other, tokenizer(), {"id": "second"})
    model = load_model(saved)
    assert (model.card["id"], model.bert.shape.layers) == ("second", 1)
    assert "scores" not in model.card
    assert torch.equal(logits(model.bert), logits(other))
    assert [path.name for path in saved.parent.iterdir()] == ["student"]


def test_an_export_is_read_by_the_library_and_overwrites_nothing(saved, tmp_path):
    """Harm: an export into the wrong folder wipes somebody's work."""
    model, target = load_model(saved), tmp_path / "out"
    target.mkdir()
    export_model(model, target)  # an empty folder is fine
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(target, local_files_only=True).eval()
    speaker = transformers.AutoTokenizer.from_pretrained(target, local_files_only=True)
    ids = speaker("the girl [MASK] herself.", return_tensors="pt")["input_ids"]
    torch.testing.assert_close(theirs(ids).logits, model.bert(ids), rtol=0, atol=1e-5)
    readme = (target / "README.md").read_text()
    assert "fill-mask" in readme
    assert "1.5" in readme
    before = {path.name: path.read_bytes() for path in target.iterdir()}
    with pytest.raises(CheckpointError, match="overwrites nothing"):
        export_model(model, target)
    assert {path.name: path.read_bytes() for path in target.iterdir()} == before


# The state of a run


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


def test_only_the_newest_checkpoint_is_kept_and_a_torn_one_never_counts(tmp_path, monkeypatch):
    """Harm: a disk full of optimizer states; or a crash while saving costs the whole run."""
    folder, bert = tmp_path / "checkpoints", teacher(layers=1)
    optimizer = adamw([(bert, 1e-3)])
    assert load_checkpoint(folder) is None
    for step in (9, 10, 100):
        save_checkpoint(folder, step, bert, optimizer, {})
        assert load_checkpoint(folder)["step"] == step
        assert len(list(folder.iterdir())) == 1

    def torn(state, path):
        path.write_bytes(b"PK half")
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


def test_what_a_killed_process_left_half_done_is_swept(tmp_path, monkeypatch):
    """Harm: every kill leaves an optimizer state behind that nobody reads and nobody removes."""
    whole, lost = tmp_path / "step-000000007", tmp_path / "student"

    def killed(source, target):
        raise KeyboardInterrupt  # at this moment, and with no time to tidy up

    for place, moment in ((whole, "never"), (tmp_path / "step-000000009", "draft"), (lost, "never"), (lost, "swap")):
        with monkeypatch.context() as patch, suppress(KeyboardInterrupt):
            patch.setattr(atomic.shutil, "rmtree", lambda *args, **settings: None)
            if moment == "draft":
                patch.setattr(atomic.os, "replace", killed)
            with atomic.whole_folder(place) as draft:
                (draft / "made").write_text(moment)
    assert len(list(tmp_path.iterdir())) == 4  # both folders, a draft, and what "student" was before
    (tmp_path / "student").rename(tmp_path / ".gone")  # killed between the two renames of a swap
    atomic.clear_drafts(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {whole.name, lost.name, ".gone"}
    assert (lost / "made").read_text() == "never"
    atomic.clear_drafts(tmp_path)
    assert (whole / "made").exists()
    atomic.clear_drafts(tmp_path / "absent")


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
