"""How fast the examine page is, and how much it sends: python -m engine bench examine.

The score is timed here, on minilm and a student of half its width; what is drawn, in a process of its own that has the
app. Text is the microworld's stories, which are English, so that nothing need be fetched.
"""

from __future__ import annotations

import itertools
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from engine.settings.project import PROJECT
from engine.text import microworld

SENTENCES = 64
TOKENS = 32
TEACHER = "minilm"
SCORE = "score, 64 sentences, minilm and its student"
WANTED = {SCORE: 10.0, "new sentence, minilm": 1.0, "mosaic, 12 x 12 heads, 32 tokens": 0.5}  # seconds
MOST_BYTES = 1_500_000  # of a view


def bench_examine(repeats: int = 3, page: bool = True) -> dict[str, Any]:
    """Seconds and bytes; without `page` (or the app) only the score's seconds."""
    seconds = {SCORE: _timed(_score(), repeats)}
    sizes: dict[str, int] = {}
    if page and (drawn := _drawn(repeats)):
        seconds |= {name: _summary(times) for name, times in drawn["seconds"].items()}
        sizes = drawn["bytes"]
    return {
        "seconds": {name: times | {"wanted": WANTED.get(name)} for name, times in seconds.items()},
        "bytes": {name: {"size": size, "wanted": MOST_BYTES} for name, size in sizes.items()},
        "repeats": repeats,
        "load": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def table(found: dict[str, Any]) -> str:
    """What `bench_examine` found, for people."""
    lines = [f"{'':46}{'median s':>12}{'worst s':>12}{'wanted':>12}"]
    for name, times in found["seconds"].items():
        wanted = "" if times["wanted"] is None else f"{times['wanted']:g}"
        lines.append(f"{name:46}{times['median']:12.3f}{times['worst']:12.3f}{wanted:>12}")
    if found["bytes"]:
        lines.append(f"{'':46}{'bytes':>12}{'':12}{'wanted':>12}")
    lines += [f"{name:46}{it['size']:12,}{'':12}{it['wanted']:12,}" for name, it in found["bytes"].items()]
    load = "" if found["load"] is None else f"; load {found['load']:.1f}"
    return "\n".join([*lines, f"{found['repeats']} repeats{load}"])


def stories(count: int) -> list[str]:
    """`count` stories of the microworld as text."""
    return [story.text for story in itertools.islice(microworld.documents(1), count)]


def _score() -> Callable[[], object]:
    from engine.inheritance.probe_sentences import typed_sentences
    from engine.inheritance.report import inheritance_report
    from engine.model.bert import new_bert
    from engine.teachers import catalog as teachers

    teacher = teachers.load_teacher(TEACHER)
    full = teacher.bert.shape
    narrow = full.replace(hidden=192, embedding=192, ffn=768, head_dim=16, pooler=False)
    students = [new_bert(narrow, seed).eval() for seed in (0, 1)]
    sentences = typed_sentences(stories(SENTENCES), teacher.tokenizer, TOKENS)
    pad = teacher.tokenizer.pad_token_id
    return lambda: inheritance_report(students[0], teacher.bert.eval(), sentences, pad, scratch=students[1])


def _drawn(repeats: int) -> dict[str, Any]:
    """What the app measured of itself; empty where it is not installed."""
    command = [sys.executable, "-m", "app.examine.bench", str(repeats)]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=600)
    lines = done.stdout.splitlines()
    return json.loads(lines[-1]) if done.returncode == 0 and lines else {}


def _timed(action: Callable[[], object], repeats: int) -> dict[str, float]:
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return _summary(times)


def _summary(times: list[float]) -> dict[str, float]:
    return {"median": statistics.median(times), "worst": max(times)}
