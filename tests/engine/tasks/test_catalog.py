"""Labelled data: fixed splits, no text in two of them, and a sentence where data is missing."""

import os
from collections import Counter
from pathlib import Path

import nltk
import pytest

from engine.tasks.catalog import GRAMMAR_SEED, TASKS, find_task, wrong_words
from engine.tasks.labelled import TaskError
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
