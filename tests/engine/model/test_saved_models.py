import json

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine.model import saved_models
from engine.model.bert import Bert
from engine.model.export import export_model
from engine.model.saved_models import CheckpointError, load_model, save_model
from engine.storage import atomic
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
