"""Folders that nobody meant to make: half files, pickles of anything, pipes; each equals the library or is refused."""

import json
import os
import struct
import zipfile
from pathlib import Path

import pytest
import torch
import transformers
from safetensors.torch import load_file, save_file

from engine.__main__ import main
from engine.teachers.card import TeacherError
from engine.teachers.catalog import load_teacher, teacher_card
from tests.engine.teachers import test_checkpoint_files_folders as folders
from tests.engine.teachers.test_checkpoint_files_folders import (
    ALBERT,
    BERT,
    DECODER,
    DISTILBERT,
    HEAD,
    IDS,
    PLAIN,
    TABLE,
    WORDS,
    beside,
    of_kind,
    pickled,
    renamed,
    save,
    sharded,
    with_config,
    with_tensors,
    with_vocabulary,
    without,
)

UNTIED = {"tie_word_embeddings": False}
EVIL = "import pathlib\npathlib.Path(__file__).with_name('ran').touch()\n"


def wrote(name: str, content: bytes | str) -> folders.Change:
    """A file more, or another one."""
    data = content if isinstance(content, bytes) else content.encode()
    return lambda folder: folder.joinpath(name).write_bytes(data) and None


def after(*changes: folders.Change) -> folders.Change:
    """One change after the other."""
    return lambda folder: [change(folder) for change in changes] and None


def table(make) -> folders.Change:
    """A pickle whose word table is another kind of tensor."""
    return pickled(lambda found: {**found, TABLE: make(found[TABLE])})


def with_json(name: str, **fields) -> folders.Change:
    """Fields of a JSON file."""

    def change(folder: Path) -> None:
        path = folder / name
        path.write_text(json.dumps({**(json.loads(path.read_text()) if path.exists() else {}), **fields}))

    return change


def words(content: bytes, **settings) -> folders.Change:
    """A vocab.txt of these bytes."""
    return after(with_vocabulary([], **settings), wrote("vocab.txt", content))


def index_of(name: str) -> folders.Change:
    """An index of shards that names this file."""

    def change(folder: Path) -> None:
        sharded(folder)
        index = {"metadata": {}, "weight_map": {TABLE: name}}
        (folder / "model.safetensors.index.json").write_text(json.dumps(index))

    return change


def in_a_pickle_s_index(folder: Path) -> None:
    """The index is called as that of pickles."""
    (folder / "model.safetensors.index.json").rename(folder / "pytorch_model.bin.index.json")


def twice(folder: Path) -> None:
    """Both shards hold the word table, and not the same one."""
    sharded(folder)
    for number in (1, 2):
        path = folder / f"model-0000{number}-of-00002.safetensors"
        save_file({**load_file(path), TABLE: torch.full((WORDS, 16), float(number))}, path, {"format": "pt"})


def deflated(folder: Path) -> None:
    """A pickle in a compressed archive, of which a mapped file would be read as numbers."""
    pickled()(folder)
    path = folder / "pytorch_model.bin"
    with zipfile.ZipFile(path) as stored:
        parts = {name: stored.read(name) for name in stored.namelist()}
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as out:
        for name, part in parts.items():
            out.writestr(name, part)


def outside(folder: Path) -> None:
    """The weights are a link to a place that may not be read."""
    (folder / "model.safetensors").rename(folder.parent.parent / f"{folder.parent.name}.safetensors")
    (folder / "model.safetensors").symlink_to(folder.parent.parent / f"{folder.parent.name}.safetensors")


def piped(name: str) -> folders.Change:
    """A pipe that nobody writes to."""

    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        os.mkfifo(folder / name)

    return change


class Runs:
    """An object whose pickle makes a folder when it is read."""

    def __reduce__(self):
        return os.mkdir, ("ran",)


POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n"
RAW = "\n".join(PLAIN) + "\n"
GAMMA = "bert.embeddings.LayerNorm.gamma"
EQUAL: dict[str, tuple[str, dict, folders.Change | None]] = {
    "config says float16": (BERT, {}, with_config(dtype="float16")),
    "config says bfloat16 by the old name": (ALBERT, {}, with_config(dtype=None, torch_dtype="bfloat16")),
    "no kind said, and two stored": (
        BERT, {}, after(of_kind(torch.bfloat16, "embeddings.LayerNorm.bias"), with_config(dtype=None))),
    "sparse, and nobody asks for it": (BERT, {}, pickled(lambda found: {**found, "z": found[TABLE].to_sparse()})),
    "NaN, and nobody asks for it": (BERT, {}, beside("z", lambda found: torch.full((2,), float("nan")))),
    "float8, and nobody asks for it": (BERT, {}, beside("z", lambda found: found[TABLE].to(torch.float8_e4m3fn))),
    "no numbers in memory, and nobody asks": (BERT, {}, pickled(lambda found: {**found, "z": found[TABLE].to("meta")})),
    "a pickle index that names safetensors": (BERT, {}, after(sharded, in_a_pickle_s_index)),
    "code beside it": (BERT, {}, after(wrote("evil.py", EVIL), with_json(
        "tokenizer_config.json", tokenizer_class="T", auto_map={"AutoTokenizer": ["evil.T", "evil.T"]}))),
    "untied without the head's own bias": (BERT, UNTIED, without("cls.predictions.bias")),
    "vocab.txt with a NUL": (BERT, {}, words((RAW + "a\0b\n").encode())),
    "three groups of four layers": (ALBERT, {"num_hidden_groups": 3, "num_hidden_layers": 4}, None),
    "sinusoidal positions": (DISTILBERT, {"sinusoidal_pos_embds": True}, None),
}  # fmt: skip
REFUSED: dict[str, tuple[str, dict, folders.Change, str]] = {
    "sparse": (BERT, {}, table(torch.Tensor.to_sparse), "layout sparse_coo"),
    "quantised by torch": (BERT, {}, table(lambda it: torch.quantize_per_tensor(it, 0.1, 0, torch.qint8)), "qint8"),
    "no numbers in memory": (BERT, {}, table(lambda it: it.to("meta")), "holds no values"),
    "complex": (BERT, {}, table(lambda it: it.to(torch.complex64)), "complex64"),
    "a sparse decoder": (BERT, {}, pickled(lambda found: {**found, DECODER: found[TABLE].to_sparse()}), "sparse_coo"),
    "a terabyte in a kilobyte": (BERT, {}, after(
        table(lambda it: torch.ones(1).expand(10**9, 16)), with_config(vocab_size=10**9)), "should be"),
    "repeated numbers": (BERT, {}, table(lambda it: torch.ones(1).expand(WORDS, 16)), "fewer numbers than its size"),
    "too large for float32": (BERT, {}, after(of_kind(torch.float64), with_tensors(
        lambda found: {**found, f"{HEAD}.bias": found[f"{HEAD}.bias"] + 1e300})), "NaN or infinite"),
    "too large for the config's float16": (BERT, {}, after(with_config(dtype="float16"), with_tensors(
        lambda found: {**found, f"{HEAD}.bias": found[f"{HEAD}.bias"] + 1e30})), "NaN or infinite"),
    "a bare tensor": (BERT, {}, pickled(lambda found: found[TABLE]), "dictionary of tensors alone"),
    "tensors under a name": (BERT, {}, pickled(lambda found: {"state_dict": found, "epoch": 3}), "under 'state_dict'"),
    "numbers for names": (BERT, {}, pickled(lambda found: dict(enumerate(found.values()))), "dictionary of tensors"),
    "a pickle that runs": (BERT, {}, pickled(lambda found: {**found, "z": Runs()}), "can run code"),
    "an old pickle that runs": (
        BERT, {}, pickled(lambda found: Runs(), _use_new_zipfile_serialization=False), "can run code"),
    "a compressed pickle": (BERT, {}, deflated, "compressed"),
    "a torn pickle": (BERT, {}, after(pickled(), lambda it: os.truncate(it / "pytorch_model.bin", 900)), "damaged"),
    "a pointer of Git LFS": (BERT, {}, wrote("model.safetensors", POINTER), "LFS"),
    "a header of a gigabyte": (BERT, {}, wrote("model.safetensors", struct.pack("<Q", 10**9) + b"{"), "damaged"),
    "an index that leads out": (BERT, {}, index_of("../x.safetensors"), "lie beside it"),
    "an index with a root": (BERT, {}, index_of("/x.safetensors"), "lie beside it"),
    "an index with half a letter": (BERT, {}, index_of("\ud800.safetensors"), "there is no file"),
    "an index with a NUL": (BERT, {}, index_of("a\0.safetensors"), "there is no file"),
    "an index that is none": (BERT, {}, after(sharded, wrote("model.safetensors.index.json", "{")), "no readable"),
    "a tensor twice": (BERT, {}, twice, "with different numbers"),
    "a tensor by both of its names": (BERT, {}, beside(GAMMA, lambda found: torch.ones(16)), "there twice"),
    "a prefix of two lines": (BERT, {}, renamed("^", "a\nb."), "prefixed with a.b"),
    "gamma where the library has none": (ALBERT, {}, renamed(r"layer_norm\.weight$", "layer_norm.gamma"), "missing"),
    "weight norm": (BERT, {}, renamed(r"query\.weight$", "query.weight_v"), "missing"),
    "a link out": (BERT, {}, outside, "may not be read"),
    "a pipe for a config": (BERT, {}, piped("config.json"), "a pipe or a device"),
    "a pipe for weights": (BERT, {}, piped("model.safetensors"), "no model.safetensors"),
    "a pipe for a tokenizer's config": (BERT, {}, piped("tokenizer_config.json"), "a pipe or a device"),
    "a config of a megabyte": (BERT, {}, with_config(x="y" * 10**6), "is larger than"),
    "a config full of brackets": (BERT, {}, wrote("config.json", "[" * 10**5), "no readable config.json"),
    "a model_type that is none": (BERT, {}, with_config(model_type=["bert"]), "Only BERT"),
    "padding beyond the rows": (BERT, {}, with_config(pad_token_id=WORDS), "pad_token_id"),
    "an epsilon that the library refuses": (BERT, {}, with_config(layer_norm_eps=1), "layer_norm_eps"),
    "no kind of number": (BERT, {}, with_config(dtype="int8"), "dtype in config.json"),
    "layers by two names": (DISTILBERT, {}, with_config(num_hidden_layers=5), "two names"),
    "an empty quantisation": (BERT, {}, with_config(quantization_config={}), "quantised"),
    "no bias of an untied decoder": (BERT, UNTIED, without("decoder.bias"), "unties its decoder"),
    "vocab.txt with a mark in front": (BERT, {}, words(b"\xef\xbb\xbf" + RAW.encode()), r"has no \[PAD\]"),
    "vocab.txt in UTF-16": (BERT, {}, words(RAW.encode("utf-16")), "UTF-8"),
    "vocab.txt in UTF-16 without a mark": (BERT, {}, words(RAW.encode("utf-16-le")), r"\[UNK\]"),
    "vocab.txt with CR alone": (BERT, {}, words(RAW.replace("\n", "\r").encode()), r"\[UNK\]"),
    "no mask among the words": (BERT, {}, words(RAW.replace("[MASK]\n", "").encode()), r"has no \[MASK\]"),
    "a mask of another name": (
        BERT, {"vocab_size": 400}, with_json("tokenizer_config.json", mask_token="<mask>"), "has no <mask>"),
    "a mask that is unknown": (BERT, {}, with_json("tokenizer_config.json", mask_token="[UNK]"), "something else, too"),
    "an added token elsewhere": (
        BERT, {}, after(words(RAW.encode()), wrote("added_tokens.json", '{"<new>": 90}')), "the id 90"),
    "a length that is a word": (BERT, {}, with_json("tokenizer_config.json", model_max_length="1"), "cannot be used"),
    "a tokenizer of another kind": (
        BERT, {}, with_json("tokenizer_config.json", tokenizer_class="T5Tokenizer"), "asks for 'T5Tokenizer'"),
    "a tokenizer of letters": (
        BERT, {}, with_json("tokenizer_config.json", tokenizer_class="ByT5Tokenizer"), "is a ByT5Tokenizer"),
    "a tokenizer's config that is a list": (BERT, {}, wrote("tokenizer_config.json", "[]"), "should be an object"),
    "a tokenizer.json of nothing": (BERT, {}, wrote("tokenizer.json", "{}"), "is missing or of another kind"),
    "half of a SentencePiece model": (ALBERT, {}, with_vocabulary(["junk"], "spiece.model"), "no SentencePiece model"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """The only folder that may be read."""
    (tmp_path / "roots").mkdir()
    monkeypatch.setenv("HEIRLOOM_ROOTS", str(tmp_path / "roots"))
    monkeypatch.chdir(tmp_path)
    return tmp_path / "roots"


@pytest.mark.parametrize("case", EQUAL)
def test_an_odd_folder_equals_the_library(case, here):
    """Harm: a teacher that is another model than the one everybody else loads from the folder, or code that ran."""
    kind, fields, change = EQUAL[case]
    save(here / "model", kind, **fields)
    if change:
        change(here / "model")
    found = load_teacher(f"local:{here / 'model'}")
    assert not list(here.rglob("ran"))
    theirs = transformers.AutoModelForMaskedLM.from_pretrained(here / "model", local_files_only=True).float().eval()
    with torch.no_grad():
        torch.testing.assert_close(found.bert(IDS), theirs(IDS).logits, rtol=0, atol=1e-4)
    assert found.card == teacher_card(f"local:{here / 'model'}")


@pytest.mark.parametrize("case", REFUSED)
def test_an_odd_folder_is_refused_in_one_short_sentence(case, here):
    """Harm: a traceback, a program that waits for ever, memory that runs out, code that runs, numbers that are none."""
    kind, fields, change, says = REFUSED[case]
    save(here / "model", kind, **fields)
    change(here / "model")
    for ask in (teacher_card, load_teacher):
        with pytest.raises(TeacherError, match=says) as caught:
            ask(f"local:{here / 'model'}")
        assert len(str(caught.value)) < 200
        assert len(str(caught.value).splitlines()) == 1
    assert not list(here.parent.rglob("ran"))


def test_a_folder_that_leads_nowhere_is_refused(here, capsys):
    """Harm: a RuntimeError for a loop of links."""
    (here / "loop").symlink_to(here / "loop")
    with pytest.raises(TeacherError, match=r"cannot be followed|no folder"):
        teacher_card(f"local:{here / 'loop'}")
    save(here / "a\nb")
    renamed("^", "x\ny.")(here / "a\nb")
    capsys.readouterr()
    assert main(["attention", f"local:{here / 'a'}\nb", "hello"]) == 2
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


def test_what_the_library_chooses_is_said(here):
    """Harm: two vocabularies and two kinds of numbers, and nobody knows which one was read."""
    save(here / "model")
    wrote("vocab.txt", RAW)(here / "model")
    with_config(dtype="float16")(here / "model")
    notes = " ".join(teacher_card(f"local:{here / 'model'}").notes)
    assert "vocab.txt says something else" in notes
    assert "rounded to float16" in notes
