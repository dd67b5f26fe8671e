"""A run's student exported: the card that the Hub reads, and what happens when it is put there. No network."""

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import huggingface_hub
import pytest
import yaml
from huggingface_hub import ModelCard
from huggingface_hub.utils import validate_repo_id

from engine.__main__ import main
from engine.model.exported_card import LICENCES, hub_name, without_paths
from engine.storage.runs import open_run
from engine.teachers import student_export
from engine.teachers.student_export import PushError, export_student
from tests.fixtures.builders import OLD_LIBRARY

FIXTURE = Path(__file__).parents[2] / "fixtures" / "runs_2026_11"
FINISHED = ("albert-finished", "int8-finished", "pkd-finished", "wid-finished")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The kept runs of an earlier version, with every kind of teacher and corpus on their cards."""
    root = tmp_path_factory.mktemp("runs")
    shutil.copytree(FIXTURE, root, dirs_exist_ok=True)
    return root


def told(root, name, **changes):
    """The run `name`, its student's card changed."""
    path = root / name / "student" / "card.json"
    path.write_text(json.dumps(json.loads((FIXTURE / name / "student" / "card.json").read_text()) | changes))
    return open_run(root, name)


def read(folder):
    """The card of an export as the Hub reads it: its metadata, checked as far as the Hub's rules can be without it."""
    card = ModelCard.load(folder / "README.md", ignore_metadata_errors=False)
    head = yaml.safe_load((folder / "README.md").read_text().split("---")[1])
    assert head["library_name"] == "transformers"
    assert head["license"] in LICENCES
    assert head["license"] != "other" or head["license_name"]
    validate_repo_id(head["base_model"])
    for dataset in head.get("datasets", ()):
        validate_repo_id(dataset)
    assert all(isinstance(tag, str) and tag for tag in head["tags"])
    for entry in head["model-index"]:
        for result in entry["results"]:
            assert set(result["task"]) >= {"type"}
            assert set(result["dataset"]) >= {"type", "name"}
            assert all(isinstance(metric["value"], float) and metric["type"] for metric in result["metrics"])
    assert {result.metric_type for result in card.data.eval_results} == set(head["metrics"])
    return head


@pytest.mark.parametrize("name", FINISHED)
def test_the_hub_can_read_every_card(name, runs, tmp_path):
    """Harm: a page on the Hub without licence, task, base model or scores."""
    run = told(runs, name)
    export_student(run, tmp_path / "out")
    head = read(tmp_path / "out")
    assert head["language"] == "en"
    assert head["license"] == "apache-2.0"
    task = name == "pkd-finished"  # it learned a labelled task
    assert head["pipeline_tag"] == ("text-classification" if task else "fill-mask")
    assert head["datasets"] == ["grammar" if task else "microworld"]
    assert "heirloom" in head["tags"]
    scores = json.loads((run.student_dir / "card.json").read_text())["scores"]
    (entry,) = head["model-index"]
    values = {metric["name"]: metric["value"] for result in entry["results"] for metric in result["metrics"]}
    score = "grammar_accuracy" if task else "masked_accuracy"
    assert values[score.replace("_", " ").capitalize()] == pytest.approx(scores[score], abs=1e-6)
    assert ("Pair accuracy" in values) == ("pair_accuracy" in scores)
    assert not any("eacher" in metric for metric in values)  # a teacher's score is not the student's


@pytest.mark.parametrize(
    ("teacher", "corpus", "base", "datasets", "language"),
    [
        ("microworld", "microworld", "microworld", ["microworld"], "en"),
        ("minilm", "nltk:brown+abc", "sentence-transformers/all-MiniLM-L6-v2", ["nltk-brown-abc"], "en"),
        ("hub:owner/some_bert", "hub:owner/texts:de#text", "owner/some_bert", ["owner/texts"], None),
        ("local:/srv/u4711/my models/bert", "file:/srv/u4711/t, x.txt#body, microworld", "bert", None, None),
        ("local:C:\\Users\\u4711\\--bert..", "file:texts/de.csv#a", "bert", ["file-de.csv"], None),
        ("local:bert", "nltk:brown, nltk:abc+webtext", "bert", ["nltk-brown", "nltk-abc-webtext"], "en"),
        ("local:bert", "nltk:brown+floresta", "bert", ["nltk-brown-floresta"], None),
        ("run:gone", "nltk:floresta", "gone", ["nltk-floresta"], None),
    ],
)
def test_what_it_was_made_of_is_named_without_anybodys_paths(
    teacher, corpus, base, datasets, language, runs, tmp_path, monkeypatch
):
    """Harm: a base model or data set that the Hub refuses; or one's home folder published with a card."""
    monkeypatch.setattr(student_export, "first_teacher_card", lambda name, runs: None)
    run = told(runs, "int8-finished", teacher=teacher, corpus=corpus, options={"kept": "/srv/u4711/secret/notes.txt"})
    export_student(run, tmp_path / "out")
    head = read(tmp_path / "out")
    if not teacher.startswith("run:"):
        assert head["base_model"] == base
    assert datasets is None or head["datasets"] == datasets
    assert head.get("language") == language
    for path in (tmp_path / "out").rglob("*"):
        if path.suffix in (".md", ".json"):
            assert not {word for word in ("/srv", "u4711", "secret") if word in path.read_text()}, path


@pytest.mark.parametrize(
    ("licence", "said"),
    [
        ("Apache-2.0", "apache-2.0"),
        ("MIT", "mit"),
        ("not stated", "unknown"),
        ("Our own, v2", "other"),
        ("", "unknown"),
    ],
)
def test_the_licence_is_its_first_teachers(licence, said, runs, tmp_path, monkeypatch):
    """Harm: weights under a licence that their teacher's do not allow."""
    card = SimpleNamespace(name="local:bert", licence=licence)
    monkeypatch.setattr(student_export, "first_teacher_card", lambda name, runs: card)
    export_student(told(runs, "wid-finished"), tmp_path / "out")
    assert read(tmp_path / "out")["license"] == said


@pytest.mark.parametrize("scores", [{}, {"masked_loss": float("nan"), "masked_accuracy": 0.5}, {"retained": 1.0}])
def test_scores_that_are_none_leave_the_card_whole(scores, runs, tmp_path):
    """Harm: a card that the Hub refuses because a number in it is none."""
    export_student(told(runs, "wid-finished", scores=scores), tmp_path / "out")
    head = yaml.safe_load((tmp_path / "out" / "README.md").read_text().split("---")[1])
    assert ("model-index" in head) == ("masked_accuracy" in scores)
    assert "nan" not in str(head)


def test_names_for_the_hub():
    """Harm: an id that the Hub's own check refuses."""
    for text in ("a b", "--a--b..", "x" * 200, "ä/ö", "", "repo.git", "...", "a.-b"):
        validate_repo_id(hub_name(text))
    assert without_paths({"a": ["/x/y.txt", "~/z", 3, None], "b": "no/path here"}) == {
        "a": ["y.txt", "z", 3, None],
        "b": "no/path here",
    }


class Hub:
    """What stands in for the Hub: it keeps what it is told, or refuses."""

    def __init__(self, refusal: Exception | None = None):
        self.refusal, self.calls = refusal, []

    def create_repo(self, repository, private, exist_ok):
        """As HfApi's."""
        if self.refusal:
            raise self.refusal
        self.calls.append((repository, private, exist_ok))
        return SimpleNamespace(repo_id=repository)

    def upload_folder(self, repo_id, folder_path, commit_message):
        """As HfApi's."""
        self.calls.append((repo_id, sorted(path.name for path in Path(folder_path).iterdir())))


@pytest.fixture
def hub(monkeypatch):
    """A Hub that can be reached, with a token at hand."""
    standing = Hub()
    monkeypatch.setattr(huggingface_hub, "HfApi", lambda: standing)
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: "hf_secret")
    monkeypatch.setattr(student_export, "reachable", lambda url: True)
    return standing


def test_an_export_is_put_on_the_hub(hub, runs, tmp_path, capsys):
    """Harm: a model that everybody sees though it was to be private; or a token in somebody's log."""
    told(runs, "int8-finished")
    asked = ["export", "int8-finished", str(tmp_path / "out"), "--runs", str(runs), "--push-to-hub", "me/small"]
    assert main([*asked, "--private", "--json"]) == 0
    said = capsys.readouterr()
    files = ["README.md", "compact", "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
    if OLD_LIBRARY:  # it writes two files more beside the tokenizer's own
        files = sorted([*files, "special_tokens_map.json", "vocab.txt"])
    assert hub.calls == [("me/small", True, True), ("me/small", files)]
    assert json.loads(said.out)["pushed_to"] == "me/small"
    assert "hf_secret" not in said.out + said.err


def test_what_cannot_be_pushed_is_said_before_anything_is_written(hub, runs, tmp_path, monkeypatch, capsys):
    """Harm: an export of minutes that ends in a traceback; or a half-filled folder that blocks the next attempt."""
    run, target = told(runs, "wid-finished"), tmp_path / "out"
    with pytest.raises(PushError, match="OWNER/NAME"):
        export_student(run, target, "no/such/name")
    monkeypatch.setattr(student_export, "reachable", lambda url: False)
    with pytest.raises(PushError, match="no network"):
        export_student(run, target, "me/small")
    monkeypatch.setattr(huggingface_hub, "get_token", lambda: None)
    with pytest.raises(PushError, match="hf auth login"):
        export_student(run, target, "me/small")
    assert not target.exists()
    assert not hub.calls
    for more in (["--private"], ["--adapter", "--push-to-hub", "me/small"]):
        assert main(["export", "wid-finished", str(target), "--runs", str(runs), *more]) == 2
        assert len(capsys.readouterr().err.strip().splitlines()) == 1


@pytest.mark.parametrize(("status", "words"), [(403, "hf auth login"), (500, "server is down"), (None, "server is")])
def test_a_hub_that_refuses_leaves_the_folder(status, words, hub, runs, tmp_path):
    """Harm: an hour's run has to be exported again because the network went away."""
    hub.refusal = OSError("the server is down\nand more")
    if status:
        hub.refusal.response = SimpleNamespace(status_code=status)
    with pytest.raises(PushError, match=words) as caught:
        export_student(told(runs, "wid-finished"), tmp_path / "out", "me/small")
    assert "\n" not in str(caught.value)
    assert (tmp_path / "out" / "model.safetensors").is_file()
