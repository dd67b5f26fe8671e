"""The command line: what it says to people, to programs, and to bad input."""

import json
import re
import shlex
import subprocess
import sys

import pytest

from engine.__main__ import _parser, main

TINY = ["--layers", "2", "--hidden", "32", "--heads", "4", "--batch", "8", "--length", "32", "--seed", "0"]


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """(runs folder, card) of one tiny run, trained by a process of its own as a newcomer would."""
    runs = tmp_path_factory.mktemp("runs")
    command = [sys.executable, "-m", "engine", "train", "--teacher", "microworld", "--method", "wid", *TINY]
    command += ["--steps", "40", "--runs", str(runs), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return runs, json.loads(done.stdout), done.stderr


def test_json_is_one_object_and_nothing_else(finished) -> None:
    """Harm: a script that reads the card chokes on a progress bar."""
    _, card, errors = finished
    assert card["shape"]["hidden"] == 32
    assert card["complete"]
    assert card["seed"] == 0
    assert {"masked_accuracy", "teacher_masked_accuracy", "retained"} <= set(card["scores"])
    assert "40/40" in errors  # the progress bar, on stderr


def test_card_on_stdout_is_the_card_on_disk(finished) -> None:
    """Harm: what was printed and what was kept disagree."""
    runs, card, _ = finished
    assert json.loads((runs / card["id"] / "card.json").read_text()) == card


def test_runs_lists_the_run(finished, capsys) -> None:
    """Harm: a finished run cannot be found again."""
    runs, card, _ = finished
    assert main(["runs", "--runs", str(runs), "--json"]) == 0
    (listed,) = json.loads(capsys.readouterr().out)
    assert (listed["id"], listed["status"]) == (card["id"], "finished")


def test_export_is_loaded_by_the_library(finished, tmp_path) -> None:
    """Harm: the exported folder is a dead end: no library class loads it, or it computes something else."""
    import torch
    from transformers import AutoModelForMaskedLM, AutoTokenizer

    from engine.model.saved_models import load_model

    runs, card, _ = finished
    folder = tmp_path / "exported"
    assert main(["export", card["id"], str(folder), "--runs", str(runs)]) == 0
    theirs, notes = AutoModelForMaskedLM.from_pretrained(folder, output_loading_info=True)
    assert not any(notes.values()), notes
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = torch.tensor([tokenizer("The girl near the boats washes herself.")["input_ids"]])
    ours = load_model(runs / card["id"] / "student")
    torch.testing.assert_close(theirs.eval()(ids).logits, ours.bert(ids), atol=1e-5, rtol=0)
    assert sum(p.numel() for p in theirs.parameters()) >= card["parameters"]
    assert card["id"] in (folder / "README.md").read_text()
    assert main(["export", card["id"], str(folder), "--runs", str(runs)]) == 2  # never overwrites


def test_attention_and_evaluate_speak_of_the_student(finished, capsys) -> None:
    """Harm: a verb works for teachers only."""
    runs, card, _ = finished
    assert main(["attention", card["id"], "The girl washes herself.", "--runs", str(runs), "--json"]) == 0
    seen = json.loads(capsys.readouterr().out)
    assert len(seen["attentions"]) == card["shape"]["layers"]
    assert seen["tokens"][0] == "[CLS]"
    assert main(["evaluate", card["id"], "--runs", str(runs), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["masked_accuracy"] == pytest.approx(
        card["scores"]["masked_accuracy"], abs=0.02
    )  # longer rows than the run's own, otherwise the same


def test_a_report_holds_the_run_and_reaches_for_nothing(finished, tmp_path, capsys) -> None:
    """Harm: a page that is handed in lacks its numbers, or stays empty where there is no network."""
    runs, card, _ = finished
    page, look = tmp_path / "report.html", tmp_path / "look.html"
    assert main(["report", card["id"], "--runs", str(runs), "--html", str(page), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"html": str(page)}
    text = page.read_text(encoding="utf-8")
    assert f"{card['parameters']:,}" in text
    assert f"{card['scores']['retained']:.1%}" in text
    assert re.findall(r"(?:src|href|url)\s*[=(]\s*[\"']?\s*(?:https?:)?//", text) == []
    hostile = "the girl </script><script>alert(1)</script> sleeps ."
    assert main(["attention", card["id"], hostile, "--html", str(look), "--runs", str(runs)]) == 0
    assert "<script>alert" not in look.read_text(encoding="utf-8")
    assert "Student" in look.read_text(encoding="utf-8")
    assert main(["report", card["id"], "--runs", str(runs), "--html", str(tmp_path)]) == 2


def test_the_command_in_a_report_starts_the_same_run() -> None:
    """Harm: somebody repeats a run from its report and gets another one."""
    from engine.cli.train import _config
    from engine.settings.run_config import RunConfig, train_command

    config = RunConfig(
        teacher="microworld",
        method="wid",
        student={"layers": 2, "hidden": 32, "head_dim": 8},
        options={"strategy": "head", "closed_by": 0.25, "layer_list": "1 3; rm -rf *"},
        corpus="nltk:brown",
        steps=7,
        warmup=0.2,
        clip=2.0,
        mask_share=0.3,
        masking="word",
        seed=5,
        precision="float32",
    )
    words = shlex.split(train_command(config.to_json()))
    assert words[:3] == ["python", "-m", "engine"]
    assert _config(_parser().parse_args(words[3:])) == config


def test_evaluate_scores_as_many_rows_as_are_wanted(capsys) -> None:
    """Harm: two teachers within the noise of 512 rows cannot be told apart."""
    found = {}
    for rows in (64, 512):
        assert main(["evaluate", "microworld", "--rows", str(rows), "--json"]) == 0
        found[rows] = json.loads(capsys.readouterr().out)
        assert found[rows]["rows"] == rows
    assert found[512]["masked_accuracy_interval"] == pytest.approx(0.02, abs=0.01)
    ratio = found[64]["masked_accuracy_interval"] / found[512]["masked_accuracy_interval"]
    assert ratio == pytest.approx(8**0.5, rel=0.1)
    assert main(["evaluate", "microworld", "--rows", "64"]) == 0
    told = capsys.readouterr().out
    assert "64 held-out rows of microworld" in told
    assert re.search(r"masked accuracy +\d+\.\d% ± \d\.\d points", told)


def test_evaluate_compares_a_student_with_its_teacher(finished, capsys) -> None:
    """Harm: a student's scores without the teacher's beside them, or a task that only teachers can be scored on."""
    runs, card, _ = finished
    assert main(["evaluate", card["id"], "--runs", str(runs), "--rows", "64", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["teacher"] == card["teacher"]
    assert set(found["report"]) == {"loss", "accuracy", "top5", "agreement", "kl"}
    task = ["--task", "grammar", "--probe", "--seeds", "2", "--limit", "60", "--runs", str(runs)]
    assert main(["evaluate", card["id"], *task, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["baseline"]["accuracy"] > 0
    assert found["recipe"]["method"] == "probe"
    assert found["retained"]["retained"] == pytest.approx(
        found["scores"]["accuracy"]["mean"] / found["teacher_scores"]["accuracy"]["mean"]
    )
    assert main(["evaluate", card["id"], *task]) == 0
    told = capsys.readouterr().out
    for words in ("always the most frequent", "retained", "spread", "recipe {"):
        assert words in told


def test_size_counts(capsys) -> None:
    """Harm: the command line and the library disagree about BERT-base."""
    assert main(["size", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["parameters"] == 109_514_298


BAD = {
    "heads do not divide": (["train", "--hidden", "50", "--heads", "4"], "does not divide into 4 heads"),
    "student wider": (["train", "--hidden", "256"], "cannot have more hidden than its teacher"),
    "student deeper": (["train", "--layers", "9"], "cannot have more layers than its teacher"),
    "zero": (["train", "--layers", "0"], "layers must be between 1"),
    "negative": (["train", "--hidden", "-64"], "hidden must be between 1"),
    "text for a number": (["train", "--layers", "four"], "invalid int value"),
    "no steps to close in": (["train", "--hidden", "64", "--steps", "1"], "more steps"),
    "unknown teacher": (["train", "--teacher", "nobody"], "There is no teacher 'nobody'"),
    "unknown method": (["train", "--method", "magic"], "There is no method 'magic'"),
    "unknown corpus": (["train", "--corpus", "moon"], "There is no corpus 'moon'"),
    "missing corpus": (["train", "--corpus", "nltk:not_there"], "is not on this machine"),
    "corpus as a path": (["train", "--corpus", "nltk:../../etc"], "small letters"),
    "unknown option": (["train", "--option", "magic=1"], "no option magic"),
    "option out of range": (["train", "--option", "lr=-1"], "lr must be between 0 and 1"),
    "option without a value": (["train", "--option", "lr"], "NAME=VALUE"),
    "unknown device": (["train", "--device", "abacus"], "device must be one of"),
    "resume nothing": (["train", "--resume", "../../etc"], "There is no run"),
    "stop nothing": (["runs", "--stop", "nothing"], "There is no run"),
    "export nothing": (["export", "nothing", "out"], "There is no run"),
    "attention of nothing": (["attention", "nothing", "hello"], "There is no run"),
    "no task": (["evaluate", "microworld", "--task", "magic"], "There is no task 'magic'"),
    "probe of nothing": (["evaluate", "microworld", "--probe"], "--probe needs a --task"),
    "no seeds": (["evaluate", "microworld", "--task", "grammar", "--seeds", "0"], "At least one seed"),
    "no rows": (["evaluate", "microworld", "--rows", "0"], "--rows must be at least 1"),
    "empty sentence": (["attention", "microworld", "   "], "type at least one word"),
    "no command": ([], "required: COMMAND"),
    "unknown command": (["fly"], "invalid choice"),
    "shape of a size": (["size", "--hidden", "100", "--heads", "7"], "use 5 or 10 heads"),
    "all problems at once": (["size", "--layers", "0", "--heads", "0"], "heads must be between 1"),
}


@pytest.mark.parametrize(("arguments", "says"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_sentence_and_exit_code_2(arguments, says, tmp_path, capsys) -> None:
    """Harm: a slip of the keyboard shows a traceback, or starts a run that cannot work."""
    if arguments and arguments[0] in ("train", "runs", "export", "attention"):
        arguments = [*arguments, "--runs", str(tmp_path / "runs")]
    try:
        code = main(arguments)
    except SystemExit as stop:
        code = stop.code
    told = capsys.readouterr()
    assert code == 2
    assert says in told.err
    assert len(told.err.strip().splitlines()) == 1
    assert told.out == ""
    assert not list((tmp_path / "runs").glob("2*"))  # nothing was started


def test_sentence_with_markup_is_text(capsys) -> None:
    """Harm: markup in a sentence is taken for something else than words."""
    assert main(["attention", "microworld", "<b>the girl</b> & </script>", "--json"]) == 0
    assert "girl" in json.loads(capsys.readouterr().out)["tokens"]


def test_bench_speaks_json_and_prose(capsys):
    """Harm: a measurement that only its author can read, or that a script cannot."""
    assert main(["bench", "wid", "--case", "tiny", "--repeats", "1", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["case"] == "tiny"
    assert main(["bench", "wid", "--case", "gpu", "--repeats", "1"]) == 0
    assert main(["bench", "wid", "--case", "what"]) == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_preset_sets_options_and_is_overruled_by_them(tmp_path):
    """Harm: the paper's settings typed by hand, one of them wrong; or a preset that cannot be changed."""
    from engine.cli.train import _config
    from engine.methods.wid import Wid

    arguments = _parser().parse_args(
        ["train", "--preset", "paper", "--option", "interval=100", "--runs", str(tmp_path)]
    )
    assert _config(arguments).options == {**Wid.presets["paper"], "interval": 100}
    assert main(["train", "--preset", "nonsense", "--runs", str(tmp_path)]) == 2
    assert list(tmp_path.iterdir()) == []
