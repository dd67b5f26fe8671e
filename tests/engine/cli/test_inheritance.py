"""The verb inheritance: what it prints is JSON or words, and bad input is one line."""

import json

import numpy as np
import pytest

from engine.__main__ import main
from engine.inheritance.score import DEFINITION
from tests.fixtures.builders import finish, new_run, tiny

pytestmark = pytest.mark.usefixtures("few_held_out")


@pytest.fixture(scope="module")
def made(few_held_out, tmp_path_factory):
    """(folder, id) of a finished run."""
    config = tiny("wid", student={"hidden": 32, "heads": 4, "ffn": 64}, options={"cuts": 2})
    run = new_run(tmp_path_factory.mktemp("runs"), config)
    finish(config, run)
    return run.path.parent, run.id


def test_one_json_object_with_nulls_beside_the_score(made, capsys):
    """Harm: a script cannot read it, or reads a score without what to hold beside it."""
    folder, id = made
    assert main(["inheritance", id, "--runs", str(folder), "--sentences", "8", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["definition"] == DEFINITION
    assert (told["student"], told["teacher"], told["sentences"], told["special_tokens"]) == (id, "blank", 8, "left out")
    assert told["from_scratch"] is None
    assert "--method scratch" in told["from_scratch_command"]
    assert told["bits_from_even"]["teacher"] < 0.01  # the blank one is a fresh model
    for measured in told["measures"].values():
        assert np.shape(measured["heads"]) == (16, 16)
        assert np.shape(measured["layers"]) == (4, 4)
        for pairing in ("matched", "same_place"):
            total, random = measured["scores"][pairing]["total"], measured["nulls"][pairing]["random"]
            assert total["low"] <= total["score"] <= total["high"]
            assert random["low"] <= 0 <= random["high"]
            pairs = measured["scores"][pairing]["pairs"]
            assert sorted(pair["student"] for pair in pairs) == [[layer, head] for layer in range(1, 5)
                                                                 for head in range(1, 5)]  # fmt: skip


def test_words_for_people_and_their_own_lines(made, capsys, tmp_path):
    """Harm: the table says other things than the JSON, or a person's own lines are not what is scored."""
    folder, id = made
    lines = tmp_path / "lines.txt"
    lines.write_text("the girl sleeps .\n\nthe boats near the king wait at the harbour .\nboat\n🦊 🐢\n")
    assert main(["inheritance", id, "--runs", str(folder), "--file", str(lines), "--keep-special"]) == 0
    told = capsys.readouterr().out
    assert "on 2 sentences, special tokens counted" in told
    assert DEFINITION in told
    assert "Line 4 is left out: fewer than two words." in told
    assert "Line 5 is left out: the vocabulary knows none of the words." in told
    for row in ("student", "random student", "heads shuffled", "layer 4"):
        assert f"{row:>26} " in told
    assert "random student is only" in told  # the blank teacher has hardly any attention to inherit


@pytest.mark.parametrize(
    ("more", "word"),
    [
        (["--sentences", "0"], "between 1 and 4,096, got 0"),
        (["--file", "nowhere.txt"], "cannot be read"),
        (["--against", "minilm"], "vocabulary is not the teacher's"),
        (["--corpus", "nowhere"], "no corpus"),
    ],
)
def test_bad_input_is_one_line(made, capsys, more, word):
    """Harm: a traceback for a typing mistake."""
    folder, id = made
    assert main(["inheritance", id, "--runs", str(folder), *more]) == 2
    told = capsys.readouterr()
    assert word in told.err
    assert told.err.count("\n") == 1
    assert told.out == ""


def test_a_teacher_without_a_teacher_is_asked_for_one(capsys, tmp_path):
    """Harm: comparing a model with nothing ends in a KeyError."""
    assert main(["inheritance", "microworld", "--runs", str(tmp_path)]) == 2
    assert "name one with --against" in capsys.readouterr().err
