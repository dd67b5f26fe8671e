"""GLUE and SQuAD v1.1 by their ids on the Hub, where there is a network and the package `datasets`.

Their test labels are not public: the validation set is the test set here, and a tenth of the training set validates.
"""

from __future__ import annotations

import functools
import importlib.util
from typing import Any

from engine.settings.error_text import first_line
from engine.settings.reachable import reachable
from engine.tasks.labelled import Example, Splits, Task, TaskError, held_back

HUB, GLUE, SQUAD = "https://huggingface.co", "nyu-mll/glue", "rajpurkar/squad"
# name -> (label, columns of the texts, classes, metrics, the set that scores)
GLUE_TASKS: dict[str, tuple[str, tuple[str, ...], tuple[str, ...], tuple[str, ...], str]] = {
    "cola": ("Is it grammatical?", ("sentence",), ("no", "yes"), ("matthews", "accuracy"), "validation"),
    "sst2": ("Film reviews: good or bad", ("sentence",), ("negative", "positive"), ("accuracy", "f1"), "validation"),
    "mrpc": ("The same said twice?", ("sentence1", "sentence2"), ("no", "yes"), ("f1", "accuracy"), "validation"),
    "stsb": ("How alike?", ("sentence1", "sentence2"), (), ("pearson", "spearman"), "validation"),
    "qqp": ("The same question?", ("question1", "question2"), ("no", "yes"), ("f1", "accuracy"), "validation"),
    "mnli": (
        *("Follows, open or contradicts", ("premise", "hypothesis"), ("follows", "open", "contradicts")),
        *(("accuracy",), "validation_matched"),
    ),
    "qnli": ("Answers it?", ("question", "sentence"), ("yes", "no"), ("accuracy", "f1"), "validation"),
    "rte": ("Does it follow?", ("sentence1", "sentence2"), ("yes", "no"), ("accuracy", "f1"), "validation"),
}


def _glue(name: str) -> Splits:
    _, columns, classes, _, scoring = GLUE_TASKS[name]

    def examples(split: str) -> list[Example]:
        kind = int if classes else float
        return [
            Example(str(row[columns[0]]), str(row[columns[1]]) if columns[1:] else "", kind(row["label"]))
            for row in _rows(GLUE, name, split)
            if row["label"] != -1
        ]

    return held_back(examples("train"), examples(scoring))


def _squad() -> Splits:
    def examples(split: str) -> list[Example]:
        found = []
        for row in _rows(SQUAD, None, split):
            texts, starts = row["answers"]["text"], row["answers"]["answer_start"]
            span = (int(starts[0]), int(starts[0]) + len(texts[0]))
            found.append(Example(row["question"], row["context"], span, tuple(texts)))
        return found

    train = examples("train")
    count = len(train) // 10
    return Splits(train[count:], train[:count], examples("validation"))  # articles stay together: they come in order


def _rows(dataset: str, config: str | None, split: str) -> Any:
    if importlib.util.find_spec("datasets") is None:
        raise TaskError("Tasks of the Hub need a package that is not here: pip install datasets.")
    if not reachable(HUB):
        raise TaskError(f"There is no network to fetch {dataset} through; choose a task that NLTK has, such as qc.")
    import datasets

    try:
        return datasets.load_dataset(dataset, config, split=split)
    except Exception as error:  # the network's, the Hub's and a parser's, of every kind
        raise TaskError(f"{dataset} cannot be had from the Hub: {first_line(error)[:200]}") from error


TASKS = (
    *(
        Task(
            f"glue-{name}", label, f"GLUE's {name} from the Hub, scored on its {scoring} set.",
            functools.partial(_glue, name), classes, metrics,
        )
        for name, (label, _, classes, metrics, scoring) in GLUE_TASKS.items()
    ),
    Task(
        "squad", "Find the answer", "SQuAD v1.1 from the Hub, scored on its validation set.", _squad, (),
        ("answer f1", "exact match"), answers=True,
    ),
)  # fmt: skip
