"""What the command line says of checkpoints from outside: one short line, and what was chosen or cut."""

import json

import pytest
import torch

from engine.__main__ import main
from engine.learning.masked_lm import masked_lm_score, pair_score
from engine.model.bert import Bert
from engine.model.export import export_model
from engine.model.saved_models import Model
from engine.settings.device import pick_device
from engine.sizing.shape import Shape
from engine.text.sentence_pairs import open_pairs
from tests.fixtures.builders import randomise, teacher, tokenizer


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A good checkpoint, in the only folder that may be read."""
    monkeypatch.setenv("HEIRLOOM_ROOTS", str(tmp_path))
    export_model(Model(teacher(), tokenizer(), {}), tmp_path / "model")
    return tmp_path / "model"


def test_a_cut_sentence_is_said(folder, capsys):
    """Harm: the attention of half a sentence passes for that of the whole."""
    text = "the girl sleeps . " * 40
    assert main(["attention", f"local:{folder}", text, "--json"]) == 0
    said = capsys.readouterr()
    assert json.loads(said.out)["cut"] == 160 - 62
    assert said.err == "The sentence is too long: its last 98 tokens were cut, 64 are shown.\n"
    assert main(["attention", f"local:{folder}", "the girl sleeps .", "--json"]) == 0
    said = capsys.readouterr()
    assert (json.loads(said.out)["cut"], said.err) == (0, "")


@pytest.mark.parametrize("verb", ["attention", "evaluate", "train"])
def test_what_cannot_be_used_is_one_short_line(verb, folder, capsys, tmp_path):
    """Harm: 4,072 letters on a terminal."""
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 12}))
    name = f"local:{folder}"
    words = {
        "attention": ["attention", name, "hello"],
        "evaluate": ["evaluate", name],
        "train": ["train", "--teacher", name, "--method", "scratch", "--steps", "1", "--runs", str(tmp_path / "runs")],
    }
    assert main(words[verb]) == 2
    said = capsys.readouterr().err.strip()
    assert "\n" not in said
    assert "tensors are missing" in said
    assert len(said) < 220  # the sentence, and the program's name before it


@pytest.mark.parametrize("types", [0, 1, 2])
def test_sentence_pairs_are_scored_whatever_a_model_knows_of_types(types):
    """Harm: an IndexError when a teacher with one token type is scored on pairs."""
    sizes = {"layers": 1, "hidden": 8, "heads": 2, "ffn": 8, "positions": 32, "vocab": len(tokenizer())}
    bert = randomise(Bert(Shape(**sizes, token_types=types, pooler=True, pair_head=True)))
    pairs = open_pairs("microworld", tokenizer(), 24, 16, "sop")
    with torch.no_grad():
        assert 0 <= pair_score(bert, pairs, pick_device("cpu"))["accuracy"] <= 1
        assert masked_lm_score(bert, pairs, pick_device("cpu"))["words"] > 0
