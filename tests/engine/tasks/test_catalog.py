"""Labelled data: fixed splits, no text in two of them, and what happens without a network."""

import os
from collections import Counter
from pathlib import Path

import nltk
import pytest

from engine.tasks import hub
from engine.tasks.catalog import GRAMMAR_SEED, TASKS, find_task, wrong_words
from engine.tasks.hub import GLUE_TASKS, SQUAD
from engine.tasks.labelled import Example, TaskError, hold_back_validation, split_by_hash, without_duplicates
from engine.text import microworld

HERE = Path(__file__).resolve().parents[3]
DATA = Path(os.environ.get("NLTK_DATA") or HERE.parent / "shared" / "nltk_data")
OFFLINE = ["sentence_polarity", "subjectivity", "qc", "rte", "grammar"]
SIZES = {  # train, validation, test
    "sentence_polarity": (8530, 1066, 1066),
    "subjectivity": (8000, 1000, 1000),
    "qc": (4832, 537, 500),
    "rte": (1591, 176, 2400),
    "grammar": (4000, 500, 500),
}


@pytest.fixture(scope="module", params=OFFLINE)
def data(request):
    """(task, splits) of everything that needs no network."""
    if request.param != "grammar" and not (DATA / "corpora" / f"{request.param}.zip").exists():
        pytest.skip(f"{request.param} is not on this machine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(nltk.data, "path", [str(DATA)])
        yield TASKS[request.param], TASKS[request.param].load()


def said(examples):
    """The texts of examples, as far as two count as the same."""
    return {(" ".join(e.text.lower().split()), " ".join(e.second.lower().split())) for e in examples}


def test_no_text_is_in_two_splits(data):
    """Harm: a score that is partly memory."""
    task, splits = data
    train, validation, test = (said(part) for part in (splits.train, splits.validation, splits.test))
    assert not train & test
    assert not validation & test
    assert not train & validation
    assert (len(splits.train), len(splits.validation), len(splits.test)) == SIZES[task.name]


def test_every_split_has_every_class(data):
    """Harm: a validation set without a class chooses a model that never says it."""
    task, splits = data
    for part in (splits.train, splits.validation, splits.test):
        counts = Counter(example.label for example in part)
        assert set(counts) == set(range(len(task.classes)))
    train, test = (Counter(e.label for e in part) for part in (splits.train, splits.test))
    if task.name in ("sentence_polarity", "subjectivity", "grammar"):
        for label, count in train.items():
            assert count / len(splits.train) == pytest.approx(test[label] / len(splits.test), abs=0.01)


def test_the_baseline_is_the_usual_answer(data):
    """Harm: 52% looks like knowledge where guessing gives 50."""
    task, splits = data
    usual = Counter(example.label for example in splits.train).most_common(1)[0][0]
    share = sum(example.label == usual for example in splits.test) / len(splits.test)
    assert task.baseline(splits)["accuracy"] == pytest.approx(share)
    assert task.baseline(splits)["matthews"] == 0


def test_a_spoilt_story_breaks_one_rule():
    """Harm: a story marked wrong that the grammar allows, or wrong in a way that spelling shows."""
    words = set(microworld.vocabulary())
    splits = TASKS["grammar"].load()
    whole = {story.text for story, _ in zip(microworld.documents(GRAMMAR_SEED), range(5000), strict=False)}
    for example in splits.test[:200]:
        assert (example.text in whole) == bool(example.label)
        assert set(example.text.replace(",", " ,").replace(".", " .").split()) <= words
    assert wrong_words("washes") == ["wash"]
    assert wrong_words("are") == ["is"]
    assert set(wrong_words("some")) == {"a", "this", "every"}
    assert set(wrong_words("herself")) == {"himself", "itself", "themselves"}


def test_dealing_follows_the_text_alone():
    """Harm: one more example, or another order, moves others between training and test."""
    examples = [Example(f"text number {index}", label=index % 2) for index in range(400)]
    one, two = split_by_hash(examples), split_by_hash(examples[::-1])
    assert one == two
    assert (len(one.train), len(one.validation), len(one.test)) == (320, 40, 40)
    more = split_by_hash([*examples, Example("another", label=0)])
    assert len(set(more.test) ^ set(one.test)) <= 2


def test_repeated_texts_count_once_and_contradictions_not_at_all():
    """Harm: a text in training and in test, under another spelling of its blanks."""
    examples = [Example("A b", label=0), Example("a  B", label=0), Example("c", label=0), Example("C", label=1)]
    assert without_duplicates(examples) == [examples[0]]
    splits = hold_back_validation([Example(f"t{i}", label=i % 2) for i in range(40)], [Example("T0", label=0)])
    assert "t0" not in {example.text for example in splits.train + splits.validation}
    numbers = hold_back_validation([Example(f"t{i}", label=i / 7) for i in range(40)], [])
    assert len(numbers.validation) == 4


def test_unknown_tasks_are_refused_by_name():
    """Harm: a KeyError from a typing error."""
    with pytest.raises(TaskError, match="'magic'; choose one of sentence_polarity"):
        find_task("magic")


def test_missing_data_is_one_sentence(monkeypatch, tmp_path):
    """Harm: nltk's own ten-line message."""
    monkeypatch.setattr(nltk.data, "path", [str(tmp_path)])
    reader = nltk.corpus.util.LazyCorpusLoader("qc", nltk.corpus.reader.StringCategoryCorpusReader, ["train.txt"])
    monkeypatch.setattr(nltk.corpus, "qc", reader)
    with pytest.raises(TaskError, match="nltk.downloader qc") as caught:
        TASKS["qc"].load()
    assert "\n" not in str(caught.value)


def test_the_hubs_tasks_ask_for_what_they_need(monkeypatch):
    """Harm: minutes of retries, or a ModuleNotFoundError."""
    with pytest.raises(TaskError, match="pip install datasets"):
        TASKS["glue-cola"].load()
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: name)
    with pytest.raises(TaskError, match="no network"):
        TASKS["squad"].load()


@pytest.fixture
def stored_hub(monkeypatch):
    """A Hub with a little of GLUE and SQuAD, as `datasets` gives it."""
    import sys
    import types

    def load_dataset(name, config, split):
        if name == SQUAD:
            answers = {"text": ["in Rome", "Rome"], "answer_start": [10, 13]}
            row = {"question": "Where?", "context": "She lived in Rome.", "answers": answers}
            return [row] * (40 if split == "train" else 5)
        columns = GLUE_TASKS[config][1]
        count = 60 if split == "train" else 12
        made = [
            {**{column: f"{column} {split} {i}" for column in columns}, "label": i % 2, "idx": i} for i in range(count)
        ]
        assert split in ("train", GLUE_TASKS[config][4])
        return [*made, {**made[0], "label": -1}]

    monkeypatch.setitem(sys.modules, "datasets", types.SimpleNamespace(load_dataset=load_dataset))
    monkeypatch.setattr(hub.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(hub, "reachable", lambda url: True)


@pytest.mark.usefixtures("stored_hub")
@pytest.mark.parametrize("name", [name for name in TASKS if name.startswith("glue-")])
def test_glue_is_read_as_it_is_published(name):
    """Harm: a test set without labels scores everybody at zero, or a pair loses its second half."""
    task, splits = TASKS[name], TASKS[name].load()
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (54, 6, 12)
    pair = len(GLUE_TASKS[name.removeprefix("glue-")][1]) == 2
    assert bool(splits.test[0].second) == pair
    assert isinstance(splits.test[0].label, int if task.classes else float)
    assert set(task.baseline(splits)) == set(task.metrics)


@pytest.mark.usefixtures("stored_hub")
def test_squad_is_read_as_it_is_published():
    """Harm: an answer that lies beside its place in the text."""
    task, splits = TASKS["squad"], TASKS["squad"].load()
    example = splits.test[0]
    assert example.second[slice(*example.label)] == "in Rome"
    assert example.answers == ("in Rome", "Rome")
    assert task.score(["rome", "in rome", "x", "", "Rome"], splits.test)["exact match"] == pytest.approx(0.6)
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (36, 4, 5)
