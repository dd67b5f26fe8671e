"""Configs that the library does not take: the config is blamed, not the tokenizer; and what is guessed is said."""

from collections.abc import Callable
from pathlib import Path

import pytest
import transformers

from engine.teachers.card import TeacherError
from engine.teachers.catalog import load_teacher, teacher_card
from tests.engine.teachers.test_checkpoint_files_folders import PLAIN, save, with_config, with_vocabulary

Change = Callable[[Path], None]


def rewritten(change: Callable[[bytes], bytes]) -> Change:
    """Changes the bytes of config.json."""

    def do(folder: Path) -> None:
        path = folder / "config.json"
        path.write_bytes(change(path.read_bytes()))

    return do


REFUSED: dict[str, tuple[Change, str]] = {
    "a byte order mark": (rewritten(lambda said: b"\xef\xbb\xbf" + said), "json of model begins with a byte order"),
    "UTF-16": (rewritten(lambda said: said.decode().encode("utf-16")), "json of model begins with a byte order"),
    "Latin-1": (rewritten(lambda said: said[:-2] + b', "by": "Jos\xe9"}'), "no readable config.json"),
    "a comma at the end": (rewritten(lambda said: said.replace(b"\n}", b",\n}")), "it is no JSON .Expecting"),
    "a comment": (rewritten(lambda said: said.replace(b"{", b"{ // mine\n", 1)), "it is no JSON .Expecting"),
    "an epsilon of 0": (with_config(layer_norm_eps=0), "layer_norm_eps in config.json .* got 0"),
    "an epsilon of true": (with_config(layer_norm_eps=True), "layer_norm_eps in config.json .* got True"),
    "a dropout in words": (with_config(hidden_dropout_prob="0.1"), "the config.json of model: .*hidden_dropout_prob"),
    "labels by name": (with_config(id2label={"good": "x"}), "the config.json of model: invalid literal"),
    "a dtype that is none": (with_config(dtype="float99"), "dtype in config.json should be .*float99"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The only folder that may be read."""
    monkeypatch.setenv("HEIRLOOM_ROOTS", str(tmp_path))
    return tmp_path


@pytest.mark.parametrize("case", REFUSED)
def test_a_config_that_the_library_refuses_is_blamed(case, here):
    """Harm: "the tokenizer cannot be read", and somebody looks for hours at a tokenizer that is sound."""
    change, says = REFUSED[case]
    save(here / "model")
    change(here / "model")
    with pytest.raises(Exception):  # noqa: B017, PT011 - of every kind: it is the library that judges
        transformers.AutoConfig.from_pretrained(here / "model")
    for ask in (teacher_card, load_teacher):
        with pytest.raises(TeacherError, match=says) as caught:
            ask(f"local:{here / 'model'}")
        assert len(str(caught.value)) < 200
        assert "okenizer" not in str(caught.value)


@pytest.mark.parametrize(("kind", "type"), [("BertForMaskedLM", "bert"), ("AlbertForMaskedLM", "albert")])
def test_a_family_that_is_guessed_is_said(kind, type, here):
    """Harm: a config without a model_type is read as something, and nobody hears that it was a guess."""
    save(here / "model", kind)
    assert not teacher_card(f"local:{here / 'model'}").notes
    with_config(model_type=None)(here / "model")
    with pytest.raises(ValueError, match="model_type"):
        transformers.AutoConfig.from_pretrained(here / "model")
    (note,) = teacher_card(f"local:{here / 'model'}").notes
    assert f"names no model_type, without which transformers' Auto classes do not open it; read as {type}" in note
    assert len(note) < 200


def test_without_a_family_there_is_no_tokenizer(here):
    """Harm: the library picks a tokenizer by the config's model_type, and its absence is blamed on a good vocab.txt."""
    save(here / "model")
    with_vocabulary(PLAIN)(here / "model")
    with_config(model_type=None)(here / "model")
    with pytest.raises(TeacherError, match=r"config\.json of model names no model_type, by which") as caught:
        teacher_card(f"local:{here / 'model'}")
    assert len(str(caught.value)) < 200
