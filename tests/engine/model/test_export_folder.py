"""The folder of an export: whole or not there, whatever the disk and the name are like."""

import threading

import pytest

from engine.__main__ import main
from engine.model.bert import Bert
from engine.model.export import export_model
from engine.model.saved_models import CheckpointError, Model
from engine.sizing.shape import Shape
from tests.engine.model.test_export_every_shape import SIZES
from tests.fixtures.builders import randomise, tokenizer

resource = pytest.importorskip("resource")  # limits as only POSIX has them; so are some of the names
FILES = {"README.md", "config.json", "model.onnx", "model.safetensors", "tokenizer.json", "tokenizer_config.json"}


def model():
    """A small one."""
    return Model(randomise(Bert(Shape(**SIZES))), tokenizer(), {"id": "drawn"})


def files(folder):
    """Every file and its bytes."""
    return {path.name: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("room", [100, 6_000, 20_000])
def test_a_disk_that_takes_no_more_is_one_sentence(room, tmp_path):
    """Harm: a traceback, and half a folder that looks like a model and blocks the next attempt."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, before[1]))  # as a disk without room: writes beyond it fail
    try:
        with pytest.raises(CheckpointError, match="cannot be written") as caught:
            export_model(model(), tmp_path / "out", onnx=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    export_model(model(), tmp_path / "out", onnx=True)
    assert set(files(tmp_path / "out")) == FILES


@pytest.mark.parametrize("place", ["a file/out", "a file", "x" * 300, "used"])
def test_a_place_where_nothing_can_be_written_is_one_sentence(place, tmp_path):
    """Harm: a traceback for a slip of the keyboard."""
    (tmp_path / "a file").write_text("mine")
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "notes.txt").write_text("mine")
    with pytest.raises(CheckpointError) as caught:
        export_model(model(), tmp_path / place, onnx=True)
    assert "\n" not in str(caught.value)
    assert set(files(tmp_path).values()) == {b"mine"}


@pytest.mark.parametrize("name", ["ü '\"; $(id) {0} %s", " new\nline ", "-x", "深/层"])
def test_a_hostile_name_is_a_name(name, tmp_path):
    """Harm: a folder's name that ends as a pattern, a command or a line of a card."""
    export_model(model(), tmp_path / name, onnx=True)
    assert set(files(tmp_path / name)) == FILES
    assert name.strip() not in (tmp_path / name / "README.md").read_text()


def test_two_exports_at_once_leave_one_whole_folder(tmp_path):
    """Harm: weights of one export with the card of another."""
    problems = []

    def work():
        try:
            export_model(model(), tmp_path / "out", onnx=True)
        except CheckpointError as error:
            problems.append(str(error))

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(files(tmp_path / "out")) == FILES
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
    assert all("overwrites nothing" in text for text in problems)
    kept = files(tmp_path / "out")
    with pytest.raises(CheckpointError, match="overwrites nothing"):
        export_model(model(), tmp_path / "out", onnx=True)
    assert files(tmp_path / "out") == kept


def test_the_command_line_says_it_in_one_line(tmp_path, capsys):
    """Harm: a traceback where a person has a full disk."""
    from tests.engine.teachers.test_student_export import FIXTURE

    (tmp_path / "file").write_text("")
    asked = ["export", "wid-finished", str(tmp_path / "file" / "out"), "--runs", str(FIXTURE), "--onnx"]
    assert main(asked) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1
