"""The verb export with --onnx, for runs of an earlier version."""

import json

import onnxruntime
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoTokenizer

from engine import export
from engine.__main__ import main
from engine.model.saved_models import load_lineage, load_model
from tests.engine.teachers.test_student_export import FIXTURE

TEXTS = ["The girl near the boats washes herself.", "She is happy."]


@pytest.mark.parametrize("name", ["albert-finished", "int8-finished", "pkd-finished", "wid-finished"])
def test_a_kept_runs_student_as_onnx(name, tmp_path, capsys):
    """Harm: runs made before this was there cannot be exported; or the card's own lines do not open the file."""
    folder = tmp_path / "out"
    assert main(["export", name, str(folder), "--runs", str(FIXTURE), "--onnx", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    card = ModelCard.load(folder / "README.md", ignore_metadata_errors=False)
    assert told["onnx"] in card.content
    assert "onnx" in card.data.tags
    session = onnxruntime.InferenceSession(folder / "model.onnx", providers=["CPUExecutionProvider"])
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    found = session.run(None, dict(tokenizer(TEXTS, padding=True, truncation=True, return_tensors="np")))
    student, lineage = load_model(FIXTURE / name / "student"), load_lineage(FIXTURE / name / "student")
    given = tokenizer(TEXTS, padding=True, return_tensors="pt")
    visible = given["attention_mask"].bool()
    with torch.no_grad():
        state = student.bert.encode(given["input_ids"], visible, given["token_type_ids"])
        if "classifier.weight" in lineage:
            wanted = [student.bert.pooled(state) @ lineage["classifier.weight"].T + lineage["classifier.bias"]]
        else:
            wanted = [student.bert(given["input_ids"], visible, given["token_type_ids"])]
            wanted += [student.bert.pair_logits(state)] if student.bert.pair is not None else []
    for mine, theirs in zip(found, wanted, strict=True):
        some = visible if theirs.ndim == 3 else slice(None)
        off = (torch.tensor(mine)[some] - theirs[some]).abs()
        assert off.max() < (0.02 if "int8" in name else 2e-5)  # a rounding of int8 may fall on the other side
    words = " ".join(path.read_text() for path in folder.glob("*.md"))
    assert ("--onnx writes" in words) is False
    assert ("int8 weights" in words) == ("int8" in name)


def test_python_writes_it_too(tmp_path):
    """Harm: a notebook's export without what the command line's has."""
    assert (export("wid-finished", tmp_path / "out", onnx=True, runs=FIXTURE) / "model.onnx").is_file()


def test_int8_without_it_says_how_the_bytes_are_kept(tmp_path, capsys):
    """Harm: four times the bytes, and nobody knows that there is another way."""
    assert main(["export", "int8-finished", str(tmp_path / "out"), "--runs", str(FIXTURE)]) == 0
    assert "--onnx" in capsys.readouterr().out
    assert not (tmp_path / "out" / "model.onnx").exists()
