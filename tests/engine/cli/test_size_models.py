"""python -m engine size --model: what people have, counted from its config alone."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import huggingface_hub
import pytest
import torch
import transformers

from engine.__main__ import main
from engine.cli.size_models import LONGEST_SENTENCE
from engine.settings.project import PROJECT
from engine.sizing.shape import Shape
from engine.teachers import pretrained
from engine.teachers.catalog import load_teacher

RUNS = PROJECT / "tests" / "fixtures" / "runs_2026_11"
MASKED = {
    "model_type": "bert",
    "architectures": ["BertForMaskedLM"],
    "vocab_size": 101,
    "hidden_size": 24,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 40,
    "hidden_act": "gelu",
    "max_position_embeddings": 33,
    "type_vocab_size": 2,
    "layer_norm_eps": 1e-12,
}


def folder(path: Path, **changes) -> Path:
    """A folder with nothing in it but a config.json."""
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps({**MASKED, **changes}))
    return path


def counted(name: str, **changes) -> int:
    """The library's own model of the config, its parameters counted."""
    with torch.device("meta"):
        model = getattr(transformers, name)(transformers.BertConfig.from_dict({**MASKED, **changes}))
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder that may be read."""
    monkeypatch.setenv("HEIRLOOM_ROOTS", str(tmp_path))
    return tmp_path


def told(capsys, *arguments: str) -> dict:
    """What the command answers as JSON."""
    assert main(["size", *arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments: str) -> str:
    """The one line in which the command refuses."""
    assert main(["size", *arguments]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n"), "Traceback" in err) == ("", 1, False)
    sentence = err.removeprefix("engine size: ").strip()
    assert len(sentence) <= LONGEST_SENTENCE, sentence
    return sentence


def test_a_folder_with_a_config_alone_is_counted(capsys, here) -> None:
    """Harm: whoever wants a count must download 400 MB of weights first."""
    plain = folder(here / "plain")
    for name in (f"local:{plain}", f"local:{plain}/", f"local:{plain}/config.json"):
        found = told(capsys, "--model", name)
        assert found["parameters"] == counted("BertForMaskedLM")
        assert found["notes"] == ["plain: Counted as BertForMaskedLM, which its config names."]
    labelled = folder(here / "labelled", architectures=["BertForSequenceClassification"], num_labels=7)
    found = told(capsys, "--model", f"local:{labelled}")
    total = counted("BertForSequenceClassification", num_labels=7)
    assert found["parameters"] == total - 7 * 25
    assert any("its classifier of 7 (175)" in note and f"{total:,}" in note for note in found["notes"])
    assert main(["size", "--model", f"local:{labelled}"]) == 0
    assert "its classifier of 7 (175)" in capsys.readouterr().err


def test_models_and_presets_stand_in_their_order(capsys, here) -> None:
    """Harm: --layers changes another model than the last one that was typed."""
    mine = f"local:{folder(here / 'mine')}"
    found = told(capsys, "--preset", "bert-base", "--model", mine, "--layers", "2")["models"]
    assert [one["shape"]["layers"] for one in found] == [12, 2]
    assert found[1]["parameters"] == counted("BertForMaskedLM", num_hidden_layers=2)
    assert found[1]["name"] == "mine, BertForMaskedLM, changed"
    found = told(capsys, "--model", mine, "--preset", "bert-base", "--layers", "2")["models"]
    assert [one["shape"]["layers"] for one in found] == [3, 2]
    assert len(told(capsys, *["--model", mine] * 4)["models"]) == 4
    assert "At most 4 models" in refused(capsys, *["--model", mine] * 3, *["--preset", "bert-base"] * 2)


def test_options_that_change_nothing_leave_it_as_it_is(capsys, here) -> None:
    """Harm: an epsilon of its own makes a model "changed" that nobody changed."""
    mine = folder(here / "mine", layer_norm_eps=1e-6)
    found = told(capsys, "--model", f"local:{mine}", "--layers", "3")
    assert (found["name"], found["shape"]["norm_eps"]) == ("mine, BertForMaskedLM", 1e-6)
    assert told(capsys, "--model", f"local:{mine}", "--layers", "2")["shape"]["norm_eps"] == 1e-6


def test_a_run_is_counted_by_its_card(capsys, tmp_path) -> None:
    """Harm: a compressed student is counted as the plain model of its width."""
    for run in ("wid-finished", "pkd-finished", "albert-finished", "int8-finished"):
        card = json.loads((RUNS / run / "student" / "card.json").read_text())
        found = told(capsys, "--model", f"run:{run}", "--runs", str(RUNS))
        assert found["parameters"] == card["parameters"], run
        assert Shape.from_json(found["shape"]) == Shape.from_json(card["shape"])
    found = told(capsys, "--model", "run:int8-finished", "--runs", str(RUNS), "--pooler")
    assert found["shape"]["linear_bits"] == 8
    shutil.copytree(RUNS / "wid-finished", tmp_path / "begun", ignore=shutil.ignore_patterns("student", "card.json"))
    found = told(capsys, "--model", "run:begun", "--runs", str(tmp_path))
    assert "no student yet" in found["notes"][0]


def test_teachers_are_counted_by_their_names(capsys) -> None:
    """Harm: the name that `train --teacher` takes is unknown to the calculator."""
    real = sum(parameter.numel() for parameter in load_teacher("microworld").bert.parameters())
    assert told(capsys, "--model", "microworld")["parameters"] == real
    found = told(capsys, "--model", "minilm", "--model", "microworld", "--wid", "64")["models"]
    assert found[0]["parameters"] > found[1]["parameters"] == real > found[2]["parameters"]


def test_the_hub_is_asked_for_a_config_only(capsys, here, monkeypatch) -> None:
    """Harm: a question about a size fetches a gigabyte; or what lies here already is not found without a network."""
    place, asked = folder(here / "fetched") / "config.json", []
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", lambda id, name, **more: asked.append(name) or str(place))
    monkeypatch.setattr(pretrained, "reachable", lambda url: True)
    found = told(capsys, "--model", "hub:owner/name")
    assert (found["parameters"], found["name"]) == (counted("BertForMaskedLM"), "name, BertForMaskedLM")
    assert asked == ["config.json"]
    monkeypatch.setattr(pretrained, "reachable", lambda url: False)
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda id, name: str(place))
    assert told(capsys, "--model", "hub:owner/name")["parameters"] == found["parameters"]
    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", lambda id, name: None)
    assert "no network" in refused(capsys, "--model", "hub:owner/name")
    assert asked == ["config.json"]


def damage(here: Path) -> dict[str, str]:
    """Folders that cannot be counted -> what is said of them."""
    for name, text in {
        "torn": b'{"model_type": "bert", ',
        "listed": b"[]",
        "marked": b"\xef\xbb\xbf" + json.dumps(MASKED).encode(),
        "wide": json.dumps(MASKED).encode("utf-16"),
        "latin": b'{"model_type": "b\xe9rt"}',
        "deep": b"[" * 100_000,
        "empty": b"",
        "huge": b'{"hidden_size": 1' + b"0" * 5000 + b"}",
    }.items():
        (here / name).mkdir()
        (here / name / "config.json").write_bytes(text)
    (here / "nothing").mkdir()
    os.mkfifo(folder(here / "pipe").joinpath("config.json").rename(here / "pipe" / "old").with_name("config.json"))
    folder(here / "folder").joinpath("config.json").rename(here / "folder" / "old").with_name("config.json").mkdir()
    folder(here / "roberta", model_type="roberta", architectures=["RobertaForMaskedLM"])
    return {
        "torn": "no readable config.json",
        "listed": "should be an object",
        "marked": "byte order mark",
        "wide": "byte order mark",
        "latin": "no readable config.json",
        "deep": "no readable config.json",
        "empty": "no readable config.json",
        "huge": "no readable config.json",
        "nothing": "no readable config.json",
        "pipe": "a pipe or a device",
        "folder": "is a folder",
        "roberta": "got model_type 'roberta'",
        "missing": "There is no folder",
        "a" * 300: "cannot be followed",
        "roberta/old": "There is no folder",
    }


def test_what_cannot_be_counted_is_one_short_sentence(capsys, here, tmp_path_factory) -> None:
    """Harm: a traceback, a hang, or a file of somebody else's read through a link."""
    for name, says in damage(here).items():
        assert says in refused(capsys, "--model", f"local:{here / name}"), name
    outside = folder(tmp_path_factory.mktemp("outside") / ("deep" * 20) / ("er" * 50))
    (here / "link").symlink_to(outside)
    (here / "inner").mkdir()
    (here / "inner" / "config.json").symlink_to(outside / "config.json")
    (here / "loop").symlink_to(here / "loop")
    for name in (f"{here}/link", f"{here}/inner", f"{outside}", f"{here}/inner/../../../etc", "/etc"):
        assert "outside of the folders" in refused(capsys, "--model", f"local:{name}"), name
    refused(capsys, "--model", f"local:{here / 'loop'}")
    refused(capsys, "--model", "local:a\0b")


@pytest.mark.parametrize(
    ("model", "says"),
    [
        ("run:../x", "There is no run '../x'"),
        ("run:", "There is no run ''"),
        ("run:" + "x" * 500, "There is no run"),
        ("run:nothing", "python -m engine runs"),
        ("run:linked", "There is no run"),
        ("run:torn", "damaged card"),
        ("run:none", "no student yet"),
        ("hub:../../etc", "named hub:OWNER/NAME"),
        ("hub:a/b/c", "named hub:OWNER/NAME"),
        ("hub:owner/name", "no network"),
        ("hub:", "named hub:OWNER/NAME"),
        ("local:", "A path was expected"),
        ("", "There is no teacher"),
        ("nobody", "There is no teacher 'nobody'"),
        ("ftp:x", "There is no teacher"),
    ],
)
def test_a_name_that_is_none_is_one_short_sentence(capsys, tmp_path, model, says) -> None:
    """Harm: a path passed on as a name, or forty lines of a library's."""
    shutil.copytree(RUNS / "wid-finished", tmp_path / "torn")
    (tmp_path / "torn" / "student" / "card.json").write_text('{"shape": {"layers": "two"}}')
    (tmp_path / "none").mkdir()
    (tmp_path / "none" / "config.json").write_text("{}")
    (tmp_path / "linked").symlink_to(RUNS / "wid-finished")
    assert says in refused(capsys, "--model", model, "--runs", str(tmp_path))


def test_a_whole_config_and_a_run_load_no_torch(here) -> None:
    """Harm: a count by arithmetic waits three seconds for a library that it does not use."""
    question = ["size", "--model", f"local:{folder(here / 'mine')}", "--model", "run:wid-finished", "--runs", str(RUNS)]
    code = f"import sys; from engine.__main__ import main; main({question}); "
    code += "print([name for name in ('torch', 'transformers') if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
