"""Labelled data: what a model can be fine-tuned on and scored by, one registry line each.

Every split is fixed. Where the publishers gave a test set it is the test set; elsewhere texts are dealt by a hash of
what they say, label by label, 80/10/10. Knows no model and no torch.
"""

from __future__ import annotations

import contextlib
import itertools
import random
import zipfile
from collections.abc import Iterator
from typing import Any

from engine.tasks.hub import HUB_TASKS
from engine.tasks.labelled import Example, Splits, Task, TaskError, hold_back_validation, split_by_hash
from engine.text import microworld
from engine.text.sources import nltk_reader
from engine.text.token_store import CorpusError

GRAMMAR_SEED, GRAMMAR_STORIES = 1, 5000  # not the seed of the corpus that the microworld's models learn from
QUESTION_KINDS = ("ABBR", "DESC", "ENTY", "HUM", "LOC", "NUM")


def _one_file_a_label(name: str, files: tuple[str, ...]) -> Splits:
    """A corpus with one file a label, one text a line."""
    with _nltk_data(name) as reader:
        examples = [
            Example(" ".join(line.split()), label=label)
            for label, file in enumerate(files)
            for line in reader.raw(file).splitlines()
            if line.strip()
        ]
    return split_by_hash(examples)


def _sentence_polarity() -> Splits:
    return _one_file_a_label("sentence_polarity", ("rt-polarity.neg", "rt-polarity.pos"))


def _subjectivity() -> Splits:
    return _one_file_a_label("subjectivity", ("plot.tok.gt9.5000", "quote.tok.gt9.5000"))


def _qc() -> Splits:
    with _nltk_data("qc") as reader:
        train, test = (
            [Example(text, label=QUESTION_KINDS.index(kind.partition(":")[0])) for kind, text in reader.tuples(file)]
            for file in ("train.txt", "test.txt")
        )
    return hold_back_validation(train, test)


def _rte() -> Splits:
    with _nltk_data("rte") as reader:
        train, test = (
            [
                Example(pair.text, pair.hyp, label=int(pair.value))
                for part in (1, 2, 3)
                for pair in reader.pairs([f"rte{part}_{name}.xml"])
            ]
            for name in ("dev", "test")
        )
    return hold_back_validation(train, test)


def _grammar() -> Splits:
    """Stories as they are written, and stories in which one word has the wrong number or sex."""
    rng, examples = random.Random(GRAMMAR_SEED), []
    stories = itertools.islice(microworld.documents(GRAMMAR_SEED), GRAMMAR_STORIES)
    for index, story in enumerate(stories):
        words = story.words
        if index % 2:
            spoilt = [r for r in story.relations if r.name in ("agreement", "reflexive", "determiner")]
            relation = rng.choice(spoilt)
            words[relation.source] = rng.choice(wrong_words(words[relation.source]))
        examples.append(Example(" ".join(words).replace(" .", ".").replace(" ,", ","), label=1 - index % 2))
    return split_by_hash(examples)


def wrong_words(word: str) -> list[str]:
    """The words that would be wrong in the place of this verb, reflexive or determiner."""
    verbs: list[tuple[str, str]] = [*microworld.SELF_VERBS, microworld.BE]
    for topic in microworld.TOPICS:
        verbs += [*topic.does, *((one, many) for one, many, _ in topic.does_to)]
    for forms in verbs:
        if word in forms:
            return [form for form in forms if form != word]
    one, many = microworld.DETERMINERS
    if word in one + many:
        return list(many if word in one else one)
    return [other for other in microworld.REFLEXIVES.values() if other != word]


@contextlib.contextmanager
def _nltk_data(name: str) -> Iterator[Any]:
    """The NLTK reader `name`; what goes wrong while it is used becomes a sentence."""
    try:
        yield nltk_reader(name)
    except CorpusError as error:
        raise TaskError(str(error)) from error
    except (OSError, zipfile.BadZipFile, UnicodeDecodeError, LookupError, ValueError) as error:
        raise TaskError(f"The NLTK data {name} cannot be read: {str(error)[:120]}; fetch it again.") from error


CLASS_METRICS = ("accuracy", "f1", "matthews")
TASKS: dict[str, Task] = {
    task.name: task
    for task in (
        Task(
            "sentence_polarity",
            "Film reviews: good or bad",
            "10,662 sentences of film reviews (Pang and Lee 2005); split by hash.",
            _sentence_polarity,
            ("negative", "positive"),
            CLASS_METRICS,
        ),
        Task(
            "subjectivity",
            "Opinion or plot",
            "10,000 sentences that tell a film's plot or judge it (Pang and Lee 2004); split by hash.",
            _subjectivity,
            ("objective", "subjective"),
            CLASS_METRICS,
        ),
        Task(
            "qc",
            "What a question asks for",
            "TREC questions in six kinds (Li and Roth 2002), with the official test set of 500.",
            _qc,
            QUESTION_KINDS,
            CLASS_METRICS,
        ),
        Task(
            "rte",
            "Does it follow?",
            "Recognising textual entailment 1 to 3 (Dagan et al. 2005 and later), with the official test sets.",
            _rte,
            ("no", "yes"),
            CLASS_METRICS,
        ),
        Task(
            "grammar",
            "Microworld: is it grammatical?",
            "5,000 stories of the microworld; in half of them one verb, reflexive or determiner is wrong.",
            _grammar,
            ("wrong", "right"),
            CLASS_METRICS,
        ),
        *HUB_TASKS,
    )
}


def find_task(name: str) -> Task:
    """The task called `name`.

    Raises:
        TaskError: there is none.
    """
    if name not in TASKS:
        raise TaskError(f"There is no task {name[:60]!r}; choose one of {', '.join(TASKS)}.")
    return TASKS[name]
