"""What was chosen silently of a checkpoint is said by every verb that reads one."""

import json

import pytest

from engine.__main__ import main
from tests.engine.teachers.test_checkpoint_files_folders import PLAIN, save, with_config, with_vocabulary


@pytest.fixture
def model(tmp_path, monkeypatch):
    """The name of a checkpoint with a cased vocabulary, whose tokenizer lowercases, and a config without a family."""
    monkeypatch.setenv("HEIRLOOM_ROOTS", str(tmp_path))
    save(tmp_path / "model")
    with_vocabulary([*PLAIN, "The", "Girl"], tokenizer_class="BertTokenizer")(tmp_path / "model")
    with_config(model_type=None)(tmp_path / "model")
    return f"local:{tmp_path / 'model'}"


def test_attention_says_what_was_chosen_and_cut(model, capsys) -> None:
    """Harm: the attention of lowercased words, of half a sentence, and nobody hears of either."""
    assert main(["attention", model, "the girl sleeps . " * 40, "--json"]) == 0
    said = capsys.readouterr()
    found = json.loads(said.out)
    assert [word in note for word, note in zip(["model_type", "lowercases"], found["notes"], strict=False)] == [
        True
    ] * 2
    assert found["notes"][-1] == "The sentence is too long: its last 130 tokens were cut, 32 are shown."
    assert said.err.splitlines() == found["notes"]
    assert main(["attention", model, "the girl sleeps ."]) == 0
    assert capsys.readouterr().err.splitlines() == found["notes"][:-1]


def test_evaluate_and_inheritance_say_what_was_chosen(model, capsys, tmp_path) -> None:
    """Harm: a score that is low because every capital was thrown away."""
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"the girl sleeps . the girl {'sleeps ' * n}." for n in range(60)))
    assert main(["evaluate", model, "--corpus", f"file:{text}", "--rows", "8", "--device", "cpu", "--json"]) == 0
    said = capsys.readouterr()
    notes = json.loads(said.out)["notes"]
    assert any("lowercases" in note for note in notes)
    assert [line for line in said.err.splitlines() if "..." not in line][: len(notes)] == notes
    lines = tmp_path / "lines.txt"
    lines.write_text("the girl sleeps .\n" + "the girl " * 60 + "\n")
    assert main(["inheritance", model, "--against", model, "--file", str(lines), "--json"]) == 0
    notes = json.loads(capsys.readouterr().out)["notes"]
    assert any("lowercases" in note for note in notes)
    assert any("longer than 32 tokens; the rest was left out" in note for note in notes)
