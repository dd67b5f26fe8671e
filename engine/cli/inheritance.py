"""The verb inheritance: how much of its teacher's attention a student has, nulls beside it."""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.arguments import add_runs_folder
from engine.cli.notes import notes_of
from engine.storage.runs import Run, RunError, open_run

if TYPE_CHECKING:
    from engine.inheritance.probe_sentences import ProbeSentences
    from engine.inheritance.report import InheritanceReport
    from engine.inheritance.score import ScoreInterval
    from engine.teachers.catalog import NamedModel

MOST_SENTENCES = 4096
MODELS = {"teacher": "teacher", "student": "student", "from_scratch": "from scratch"}
NULLS = {"random": "random student", "shuffled": "heads shuffled", "from_scratch": "from scratch, same budget"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    add_runs_folder(parser)
    parser.add_argument("model", help="a run's id, or a teacher's name")
    parser.add_argument("--against", metavar="TEACHER", help="compare with this teacher (default: its own)")
    parser.add_argument("--sentences", type=int, default=64, help="held-out sentences (default: 64)")
    parser.add_argument("--corpus", default="auto", help="the text (default: the student's own)")
    parser.add_argument("--file", type=Path, metavar="FILE", help="your own sentences instead, one a line")
    parser.add_argument("--keep-special", action="store_true", help="count [CLS] and [SEP], too")


def run(arguments: argparse.Namespace) -> None:
    """Prints the score and its nulls.

    Raises:
        ValueError: it cannot be scored as asked.
    """
    from engine.inheritance.report import check_vocabulary, inheritance_report
    from engine.model.saved_models import load_model
    from engine.teachers.catalog import open_model

    if not 1 <= arguments.sentences <= MOST_SENTENCES:
        raise ValueError(
            f"--sentences must be between 1 and {MOST_SENTENCES:,}, got {arguments.sentences}; 64 is usual."
        )
    student = open_model(arguments.model, arguments.runs)
    other = arguments.against or student.teacher
    if not other:
        raise ValueError(f"{arguments.model} has no teacher; name one with --against.")
    teacher = open_model(other, arguments.runs)
    check_vocabulary(student.tokenizer, teacher.tokenizer)
    sentences = _sentences(arguments, student)
    twin, twin_advice = _scratch_twin(arguments, student)
    show = _show_progress if sys.stderr.isatty() else None
    report = inheritance_report(
        student.bert.eval(),
        teacher.bert.eval(),
        sentences,
        student.tokenizer.pad_token_id,
        scratch=load_model(twin.student_dir).bert if twin else None,
        keep_special=arguments.keep_special,
        progress=show,
    )
    report.notes.extend(notes_of(student, teacher))
    if arguments.json:
        whole = {"student": student.name, "teacher": teacher.name, "from_scratch": twin.id if twin else None}
        print(json.dumps({**whole, "from_scratch_command": twin_advice, **report.to_json()}))
        return
    for line in _lines(report, student.name, teacher.name):
        print(line)
    if twin_advice:
        print(f"No run from scratch of this budget stands beside it; make one with:\n  {twin_advice}")


def _sentences(arguments: argparse.Namespace, student: NamedModel) -> ProbeSentences:
    """The sentences of --file, or held-out ones of the student's corpus."""
    from engine.inheritance.probe_sentences import LONGEST, held_out_sentences, typed_sentences
    from engine.text.corpora import open_corpus

    if arguments.file:
        try:
            text = arguments.file.read_text("utf-8", "replace")
        except OSError as error:
            raise ValueError(f"--file {arguments.file} cannot be read: {error.strerror or error}.") from error
        return typed_sentences(text.splitlines(), student.tokenizer, min(64, student.bert.shape.positions))
    name = student.corpus if arguments.corpus == "auto" else arguments.corpus
    length = min(student.length, student.bert.shape.positions)
    corpus = open_corpus(name, student.tokenizer, length, rows=1, held_out_rows=4 * arguments.sentences)
    return held_out_sentences(corpus, arguments.sentences, min(LONGEST, length))


def _scratch_twin(arguments: argparse.Namespace, student: NamedModel) -> tuple[Run | None, str | None]:
    """(the run from scratch to compare with, the command that would make it): one of them, or none for a teacher."""
    from engine.inheritance.scratch_baseline import find_scratch_baseline, scratch_baseline_command

    try:
        card = open_run(arguments.runs, student.name.removeprefix("run:")).card()
    except RunError:
        return None, None  # a teacher, which no run has made
    if not card or card.get("method") == "scratch":
        return None, None
    twin = find_scratch_baseline(card, arguments.runs)
    return twin, None if twin else scratch_baseline_command(card)


def _lines(report: InheritanceReport, student: str, teacher: str) -> list[str]:
    """The report as a table for people."""
    from engine.inheritance.report import PAIRING_WORDS
    from engine.inheritance.score import DEFINITION

    special = "counted" if report.keep_special else "left out"
    lines = [
        f"Attention that {student} has from {teacher}, on {len(report.sentences)} sentences, special tokens {special}; "
        "in brackets 95% intervals over sentences",
        DEFINITION,
        "Of the attention of words, "
        + ", ".join(f"{share:.0%} of the {who}'s" for who, share in report.attention_among_words.items())
        + " goes to words and is what is compared.",
        "Rows are on average "
        + ", ".join(f"{bits:.3f} bits ({MODELS[who]})" for who, bits in report.sharpness.items())
        + " away from even attention.",
    ]
    for measure, measured in report.measures.items():
        unit = "bits" if measure == "divergence" else "1 - cosine"
        for pairing, found in measured.scores.items():
            if found is None:
                continue
            lines += ["", f"{measure}, {PAIRING_WORDS[pairing]}", _line("student", found.total, unit)]
            for name, figure in measured.nulls[pairing].items():
                if figure is not None:
                    lines.append(_line(NULLS[name], figure, unit))
            for number, layer in enumerate(found.layers, start=1):
                if layer is not None:
                    lines.append(_line(f"layer {number}", layer, unit))
    return [*lines, *report.notes]


def _line(name: str, figure: ScoreInterval, unit: str) -> str:
    interval = " " * 16 if math.isnan(figure.low) else f"[{figure.low:6.3f}, {figure.high:6.3f}]"
    return f"{name:>26} {figure.score:7.3f} {interval}   {figure.distance:.4f} {unit}, random {figure.null:.4f}"


def _show_progress(share: float, doing: str) -> None:
    end = "\r" if share < 1 else "\r\033[K"
    print(f"{share:4.0%} {doing[:60]:60}", end=end, file=sys.stderr, flush=True)
