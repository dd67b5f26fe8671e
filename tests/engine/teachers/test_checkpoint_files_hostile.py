"""A stranger's checkpoint is refused on its word alone: in under a second, before anything is allocated."""

import json
import os
import resource
import struct
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM

from engine.model.saved_models import CheckpointError, load_model
from engine.settings.transformers_import import transformers_class
from engine.teachers.card import TeacherError
from engine.teachers.catalog import load_teacher, teacher_card
from engine.text import microworld

CONFIG = {"hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 32}
OLD = Path(__file__).parents[2] / "fixtures" / "runs_2026_11" / "wid-finished" / "student"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A whole checkpoint that teaches."""
    folder = tmp_path_factory.mktemp("hostile") / "model"
    words = {word: index for index, word in enumerate(microworld.vocabulary())}
    config = BertConfig(**CONFIG, vocab_size=len(words), max_position_embeddings=32)
    BertForMaskedLM(config).save_pretrained(folder)
    transformers_class("BertTokenizer")(vocab=words).save_pretrained(folder)
    os.environ["HEIRLOOM_ROOTS"] = str(folder.parent)
    assert teacher_card(f"local:{folder}").shape.layers == 2
    yield folder
    del os.environ["HEIRLOOM_ROOTS"]


def refusal(folder: Path) -> str:
    """What the card and the loading say; within a second and a few megabytes."""
    said = ""
    for ask in (teacher_card, load_teacher):
        begun, before = time.process_time(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(TeacherError) as caught:
            ask(f"local:{folder}")
        assert time.process_time() - begun < 1.0
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 150_000, "kilobytes"
        said = str(caught.value)
    return said


def changed(folder: Path, tmp_path: Path, name: str, data: bytes) -> Path:
    """A copy beside it with one other file."""
    copy = folder.parent / tmp_path.name
    copy.mkdir()
    for path in folder.iterdir():
        (copy / path.name).write_bytes(data if path.name == name else path.read_bytes())
    return copy


@pytest.mark.parametrize(
    "sizes",
    [
        {"num_hidden_layers": 10**6},
        {"num_hidden_layers": 10**9},
        {"hidden_size": 40_000, "intermediate_size": 160_000},
        {"vocab_size": 10**9},
        {"intermediate_size": 10**9},
        {"max_position_embeddings": 10**9},
        {"num_attention_heads": 10**9},
        {"num_hidden_layers": -1},
        {"hidden_size": 10**400},
        {"model_type": "albert", "embedding_size": 16, "num_hidden_groups": 1, "num_hidden_layers": 10**9},
        {"model_type": "albert", "embedding_size": 16, "num_hidden_groups": 10**6, "inner_group_num": 10**6},
        {"model_type": "distilbert", "n_layers": 10**6, "dim": 16, "n_heads": 2, "hidden_dim": 32},
    ],
)
def test_sizes_are_not_believed(folder: Path, tmp_path: Path, sizes: dict[str, Any]) -> None:
    """Harm: a config of a few bytes takes a machine's memory, for a minute, from everybody on the server."""
    config = {**json.loads((folder / "config.json").read_text()), **sizes}
    refusal(changed(folder, tmp_path, "config.json", json.dumps(config).encode()))


def safetensors(header: bytes, length: int | None = None) -> bytes:
    """A file with this header and a few bytes of data."""
    return struct.pack("<Q", len(header) if length is None else length) + header + b"\0" * 64


def entry(shape: list[int], offsets: list[int], dtype: str = "F32") -> dict[str, Any]:
    """A tensor in a header."""
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


HEADERS = {
    "negative": safetensors(json.dumps({"x": entry([-4], [0, -16])}).encode()),
    "beyond its end": safetensors(json.dumps({"x": entry([10**9], [0, 4 * 10**9])}).encode()),
    "overflow": safetensors(json.dumps({"x": entry([2**62, 2**62], [0, 64])}).encode()),
    "overlapping": safetensors(json.dumps({"x": entry([16], [0, 64]), "y": entry([16], [0, 64])}).encode()),
    "one name twice": safetensors(
        f'{{"x": {json.dumps(entry([8], [0, 32]))}, "x": {json.dumps(entry([8], [32, 64]))}}}'.encode()
    ),
    "longer than the file": safetensors(b"{}", 2**63),
    "ten million entries": safetensors(b"{" + b" " * 9_000_000 + b"}"),
    "nested": safetensors(b'{"x":' * 10_000),
    "no JSON": safetensors(b"\xff" * 100),
    "empty": b"",
}


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_is_not_believed(folder: Path, tmp_path: Path, name: str) -> None:
    """Harm: a header of lies reads beyond its file, or fills the memory before it is found out."""
    assert refusal(changed(folder, tmp_path, "model.safetensors", HEADERS[name]))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_a_pipe_in_a_file_s_place_is_not_waited_for(folder: Path, tmp_path: Path, name: str) -> None:
    """Harm: a pipe called config.json holds a page for ever."""
    copy = changed(folder, tmp_path, "", b"")
    (copy / name).unlink()
    os.mkfifo(copy / name)
    refusal(copy)


def test_a_link_inside_an_allowed_folder_leads_nowhere_else(folder: Path, tmp_path: Path) -> None:
    """Harm: a link in a person's own folder reads what lies outside of the roots."""
    (folder.parent / "link").symlink_to("/etc")
    for path in (folder.parent / "link", folder.parent / "link" / ".." / "etc", folder.parent / "model" / ".." / ".."):
        assert "outside of the folders" in refusal(path)
    copy = changed(folder, tmp_path, "", b"")
    for name in ("config.json", "model.safetensors", "tokenizer.json"):
        (tmp_path / name).write_bytes((folder / name).read_bytes())  # outside of the roots
        (copy / name).unlink()
        (copy / name).symlink_to(tmp_path / name)
        assert "link" in refusal(copy)
        (copy / name).unlink()
        (copy / name).write_bytes((folder / name).read_bytes())


@pytest.mark.parametrize("sizes", [{"layers": 10**6}, {"vocab": 10**9}, {"hidden": 40_000, "ffn": None}])
def test_a_student_s_card_is_not_believed(tmp_path: Path, sizes: dict[str, Any]) -> None:
    """Harm: a run from a stranger takes a machine's memory as soon as somebody looks at it."""
    for path in OLD.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    card = json.loads((tmp_path / "card.json").read_text())
    card["shape"] |= sizes
    (tmp_path / "card.json").write_text(json.dumps(card))
    begun = time.process_time()
    with pytest.raises(CheckpointError, match="is damaged"):
        load_model(tmp_path)
    assert time.process_time() - begun < 1.0
    assert torch.get_default_device().type == "cpu"
