"""How fast the inheritance score of the examine page is: python -m engine bench examine.

It is timed on minilm and a student of half its width. What the page takes to draw is measured by the page's bench,
which stands in the app. Text is the microworld's stories, which are English, so that nothing need be fetched.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

from engine.benches.cases import check_repeats
from engine.benches.timing import conditions, load_average, median_and_worst, time_repeats, times_table
from engine.text import microworld

SENTENCES = 64
TOKENS = 32
TEACHER = "minilm"
SCORE = "score, 64 sentences, minilm and its student"
WANTED = {SCORE: 10.0}  # seconds
WIDTH = 46  # of the names in the table


def bench_examine(repeats: int = 3) -> dict[str, Any]:
    """Median and worst seconds of what is in WANTED; a plain dict, JSON-ready.

    Raises:
        ConfigError: too many or too few repeats.
    """
    check_repeats(repeats)
    seconds = median_and_worst(time_repeats(_score(), repeats))
    return {"seconds": {SCORE: seconds | {"wanted": WANTED[SCORE]}}, "repeats": repeats, "load": load_average()}


def as_text(found: dict[str, Any]) -> str:
    """What `bench_examine` found, for people."""
    return "\n".join([*times_table(found["seconds"], "s", WIDTH), conditions(found["repeats"], found["load"])])


def stories(count: int) -> list[str]:
    """`count` stories of the microworld as text."""
    return [story.text for story in itertools.islice(microworld.documents(1), count)]


def _score() -> Callable[[], object]:
    """What computes the score once, models and sentences being there already."""
    from engine.inheritance.probe_sentences import typed_sentences
    from engine.inheritance.report import inheritance_report
    from engine.model.bert import new_bert
    from engine.teachers.catalog import load_teacher

    teacher = load_teacher(TEACHER)
    narrow = teacher.bert.shape.replace(hidden=192, embedding=192, ffn=768, head_dim=16, pooler=False)
    student, scratch = (new_bert(narrow, seed).eval() for seed in (0, 1))
    sentences = typed_sentences(stories(SENTENCES), teacher.tokenizer, TOKENS)
    pad = teacher.tokenizer.pad_token_id
    return lambda: inheritance_report(student, teacher.bert.eval(), sentences, pad, scratch=scratch)
