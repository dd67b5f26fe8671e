"""An adaptation's run becomes a folder that PEFT loads, whole or not at all."""

import json
import shutil

import peft
import pytest
import torch
from huggingface_hub import ModelCard
from transformers import AutoModelForMaskedLM, AutoTokenizer

from engine.__main__ import main
from engine.model.saved_models import load_model
from engine.teachers import adapter_export
from engine.teachers.adapter import AdapterError, add_adapter
from engine.teachers.adapter_export import BASE, adapter_folder, convert_adapter, export_adapter
from engine.teachers.catalog import load_teacher
from tests.fixtures.builders import finish, masked_batch, new_run, tiny

pytestmark = pytest.mark.usefixtures("few_held_out")


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """An adaptation of a few steps."""
    config = tiny("adapt", steps=4, options={"rank": 2, "word_rank": 2})
    run = new_run(tmp_path_factory.mktemp("runs"), config)
    finish(config, run)
    return run


def test_a_run_becomes_a_folder_that_peft_loads(trained, tmp_path, capsys):
    """Harm: what the command line writes is not what its parts were tested for; or the base is nowhere to be had."""
    folder = tmp_path / "out"
    command = ["export", trained.id, str(folder), "--runs", str(trained.path.parent), "--peft", "--json"]
    assert main(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert "unmerged" in told["note"]
    assert told["bytes"] == (folder / "adapter_model.safetensors").stat().st_size
    base = AutoModelForMaskedLM.from_pretrained(folder / BASE, local_files_only=True)
    model = peft.PeftModel.from_pretrained(base, folder).eval()
    speaker = AutoTokenizer.from_pretrained(folder / BASE, local_files_only=True)
    given = speaker(["The girl near the boats washes herself.", "She is happy."], padding=True, return_tensors="pt")
    visible = given["attention_mask"].bool()
    student = load_model(trained.student_dir)
    with torch.no_grad():
        wanted = student.bert(given["input_ids"], visible)
        torch.testing.assert_close(model(**given).logits[visible], wanted[visible], rtol=0, atol=1e-5)
    assert told["scores"]["masked_accuracy"] == pytest.approx(student.card["scores"]["masked_accuracy"], abs=0.02)
    card = ModelCard.load(folder / "README.md", ignore_metadata_errors=False)
    assert (card.data.library_name, card.data.license, card.data.base_model) == ("peft", "apache-2.0", "blank")
    assert f'from_pretrained("this/folder/{BASE}")' in card.content
    assert "unmerged" in card.content
    capsys.readouterr()
    assert main(command) == 2  # never overwrites
    assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize("form", [False, True])
def test_an_adapter_that_fails_leaves_nothing(form, trained, tmp_path, monkeypatch):
    """Harm: a folder with weights and no card blocks the next attempt."""

    def full(*parts):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(adapter_export, "write_json", full)
        with pytest.raises(ValueError, match="No space left") as caught:
            export_adapter(trained, tmp_path / "out", peft=form)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    export_adapter(trained, tmp_path / "out", peft=form)
    with pytest.raises(AdapterError, match="nothing is overwritten"):
        export_adapter(trained, tmp_path / "out", peft=form)


def test_what_only_a_whole_student_can_be(trained, tmp_path, capsys):
    """Harm: an option that is passed over without a word."""
    place = ["export", trained.id, str(tmp_path / "out"), "--runs", str(trained.path.parent)]
    for more in (["--peft", "--onnx"], ["--adapter", "--onnx"], ["--peft", "--push-to-hub", "me/small"]):
        assert main([*place, *more]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_a_published_base_is_named_and_not_copied(trained, tmp_path, monkeypatch):
    """Harm: hundreds of megabytes beside a small file; or a base that is somewhere else under another name."""
    shutil.copytree(trained.path, tmp_path / "runs" / trained.id)
    found = adapter_export.load_teacher("blank")
    for name, place in (("hub:owner/bert", "owner/bert"), ("local:/srv/u4711/my/bert", "")):
        card = type("Named", (), {"name": name, "licence": "MIT"})()
        teacher = type("Found", (), {"card": card, "bert": found.bert, "tokenizer": found.tokenizer})()
        monkeypatch.setattr(adapter_export, "load_teacher", lambda *parts, teacher=teacher: teacher)
        folder = tmp_path / name.partition(":")[0]
        export_adapter(trained, folder, peft=True)
        assert not (folder / BASE).exists()
        assert (json.loads((folder / "adapter_config.json").read_text())["base_model_name_or_path"] or "") == place
        assert "u4711" not in "".join(path.read_text() for path in folder.iterdir() if path.suffix in (".md", ".json"))


def test_an_adapter_in_our_layout_becomes_one_in_pefts(trained, tmp_path, capsys):
    """Harm: the adapter that is shipped, whose run is gone, stays locked into this app."""
    export_adapter(trained, tmp_path / "own")
    command = ["export", str(tmp_path / "own"), str(tmp_path / "out"), "--runs", str(trained.path.parent), "--peft"]
    assert main([*command, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["scores"] == json.loads((tmp_path / "own" / "card.json").read_text())["scores"]
    base = AutoModelForMaskedLM.from_pretrained(tmp_path / "out" / BASE, local_files_only=True)
    model, one = peft.PeftModel.from_pretrained(base, tmp_path / "out").eval(), masked_batch()
    with torch.no_grad():
        wanted = add_adapter(load_teacher("blank").bert, tmp_path / "own")(one.ids, one.visible)
        found = model(input_ids=one.ids, attention_mask=one.visible.long()).logits
    torch.testing.assert_close(found[one.visible], wanted[one.visible], rtol=0, atol=1e-5)
    card = ModelCard.load(tmp_path / "out" / "README.md", ignore_metadata_errors=False)
    assert {result.metric_name for result in card.data.eval_results} == {"Masked accuracy", "Masked loss"}
    for damage in ("no json", "[]", "{}"):
        (tmp_path / "own" / "card.json").write_text(damage)
        with pytest.raises(AdapterError, match=r"card\.json"):
            convert_adapter(tmp_path / "own", tmp_path / "new", trained.path.parent)
        assert not (tmp_path / "new").exists()


def test_shipped_adapters_are_known_by_their_teachers_names(tmp_path):
    """Harm: the command that the help names finds nothing."""
    for name in ("minilm", "minilm-early"):
        place = adapter_folder(name)
        assert place is not None
        assert (place / "card.json").is_file()
    for name in ("microworld", str(tmp_path), "nowhere"):
        assert adapter_folder(name) is None
