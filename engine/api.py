"""Heirloom from Python, five names: from engine import Shape, count, train, examine, export.

Each does what the command line's verb does and hands back values instead of printing. Importing this file loads no
torch; train, examine and export load it when they are called. What a person can mend is raised as a ValueError that
says in one sentence what to do.
"""

from __future__ import annotations

import html
import math
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from engine.learning.score_kind import card_accuracies, score_kind_of
from engine.settings import budget as budgets
from engine.settings.options import ConfigError
from engine.settings.run_config import RunConfig
from engine.sizing.cost import model_bytes, parameters, parameters_by_part
from engine.sizing.shape import Shape
from engine.storage.allowed_folders import absolute_name
from engine.storage.runs import Run, RunError, create_run, open_run
from engine.teachers.catalog import RUNS, TEACHERS, teacher_card

if TYPE_CHECKING:
    from engine.inheritance.report import InheritanceReport
    from engine.inheritance.score import ScoreInterval
    from engine.model.saved_models import Model
    from engine.teachers.catalog import NamedModel

__all__ = ["Shape", "count", "examine", "export", "train"]

FIGURE_HEIGHT = 900  # of a figure in a notebook, in pixels


@dataclass(frozen=True)
class ParameterCount:
    """The exact size of a model; shared and tied tensors count once."""

    total: int  # parameters
    parts: dict[str, int]  # embeddings, attention, ffn, layer norms, pooler, heads; they sum to the total
    bytes: int  # of all its tensors in memory or on disk

    def __int__(self) -> int:
        return self.total


def count(shape: Shape) -> ParameterCount:
    """The exact parameters of a model of this shape, by arithmetic alone; equal to what the built model has.

    Raises:
        ConfigError: `shape` is no Shape. (A Shape whose numbers do not fit together is refused when it is made.)
    """
    if not isinstance(shape, Shape):
        raise ConfigError(
            [f"count needs a Shape, such as Shape(layers=12, hidden=192, heads=12), got a {type(shape).__name__}."]
        )
    return ParameterCount(parameters(shape), parameters_by_part(shape), model_bytes(shape))


@dataclass(frozen=True)
class TrainedStudent:
    """A run that made a student, and what it says of it."""

    run: Run
    card: dict[str, Any]  # parameters, scores, shape, seconds and all settings: what card.json in the run's folder has

    @cached_property
    def student(self) -> Model:
        """The student: `.bert` (a torch module, in evaluation mode on the CPU), `.tokenizer` and `.card`."""
        from engine.model.saved_models import load_model

        return load_model(self.run.student_dir)

    def __repr__(self) -> str:
        learned, taught = card_accuracies(self.card)
        title = score_kind_of(self.card).title.lower()
        return (
            f"<student of {self.run.id}: {self.card['parameters']:,} of {self.card['teacher_parameters']:,} "
            f"parameters, {title} {learned:.1%} (teacher: {taught:.1%})>"
        )


def train(
    teacher: str = "microworld",
    method: str = "wid",
    *,
    layers: int | None = None,
    hidden: int | None = None,
    heads: int | None = None,
    head_dim: int | None = None,
    ffn: int | None = None,
    steps: int | None = None,
    budget: str | None = None,
    preset: str | None = None,
    options: Mapping[str, Any] | None = None,
    runs: str | os.PathLike[str] = RUNS,
    progress: bool = True,
    **settings: Any,
) -> TrainedStudent:
    """Trains a student to the end and returns it. Ctrl-C saves what there is and returns that.

    Args:
        teacher: who teaches, such as microworld, minilm, hub:ID, local:FOLDER or run:ID.
        method: how the student learns, such as wid, tinybert or int8.
        layers, hidden, heads, head_dim, ffn: the student's sizes where they differ from the teacher's.
        steps: optimizer steps; by default 500, and none for one-shot methods, whose steps only heal.
        budget: instead of steps, such as "5Mtokens", "2e12flops" or "60s".
        preset: options of the method that belong together, such as "paper".
        options: the method's own options by name; they win over the preset's.
        runs: the folder in which the run's folder is made, and in which run:ID looks.
        progress: whether a bar is drawn on stderr.
        settings: whatever else a run can be told (the fields of RunConfig): corpus, batch, length, seed, device, ...

    Raises:
        ConfigError: it cannot be run as asked.
        RunError: it ended before there was a student.
    """
    from engine.cli.train import follow, preset_options, show_progress
    from engine.methods.kinds.one_shot import OneShot
    from engine.methods.registry import find
    from engine.training import job
    from engine.training.plan import plan, refuse_full_disk

    runs = Path(runs)
    sizes = {"layers": layers, "hidden": hidden, "heads": heads, "head_dim": head_dim, "ffn": ffn}
    given = {**settings, "teacher": teacher, "method": method}
    with _as_config_error():
        if "student" in settings:
            raise ConfigError(["The student's sizes are given as layers, hidden, heads, head_dim and ffn."])
        if steps is not None and budget is not None:
            raise ConfigError(["steps and budget say the same thing twice; give one of them."])
        if budget is not None:
            spend = budgets.parse_budget(budget)
            given |= {"steps": int(spend.amount)} if spend.unit == "steps" else {"budget": spend.exact}
        elif steps is not None or issubclass(find(method), OneShot):
            given["steps"] = steps or 0
        given |= {
            name: absolute_name(given[name]) for name in ("teacher", "corpus") if isinstance(given.get(name), str)
        }
        student = {name: size for name, size in sizes.items() if size is not None}
        chosen = preset_options(method, preset) | dict(options or {})
        config = RunConfig.from_json({**given, "student": student, "options": chosen})
        planned = plan(config, runs)  # refuses before a folder is made
        refuse_full_disk(config, planned, runs)
        shape = planned.shape
    begin = job.start if config.processes > 1 else create_run
    run = begin(runs, config.to_json(), f"{config.method}-{shape.layers}x{shape.hidden}")
    with _interrupt_saves(run):
        events = follow(run, 0) if config.processes > 1 else job.perform(run)
        last: dict[str, Any] = {}
        if progress:
            last = show_progress(run, events)
        else:
            for event in events:
                last = event
    if "card" not in last:
        raise RunError(f"The run {run.id} ended without a student: {last.get('message', 'it was stopped')}")
    return TrainedStudent(run, last["card"])


@dataclass(frozen=True)
class HtmlFigure:
    """A page that needs nothing but itself; a notebook shows it, and `save` keeps it."""

    page: str  # the whole HTML document

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Writes the page to `path`, whole or not at all, and returns the path.

        Raises:
            ValueError: it cannot be written.
        """
        from engine.reports.html_page import write_page

        write_page(Path(path), self.page)
        return Path(path)

    def _repr_html_(self) -> str:
        page = html.escape(self.page, quote=True)
        return f'<iframe srcdoc="{page}" width="100%" height="{FIGURE_HEIGHT}" style="border: 0"></iframe>'


@dataclass(frozen=True)
class Examination:
    """A student and its teacher over one text, and how much of the teacher's attention the student has."""

    text: str
    tokens: list[str]  # [CLS] and [SEP] among them
    student: np.ndarray  # (layer, head, pos, pos) float32: where the student looks; a row sums to 1
    teacher: np.ndarray  # the same of the teacher; a layer with fewer heads than the widest is filled up with zeros
    inheritance: InheritanceReport  # the score by both measures and both pairings, its nulls, and every head's
    labels: tuple[str, str]  # what student and teacher are called

    @property
    def score(self) -> ScoreInterval:
        """The inheritance score with its 95% interval: 0 is a random student, 1 the teacher's own attention.

        By Jensen-Shannon divergence, heads paired as well as they can be; see engine.inheritance.score.
        """
        found = self.inheritance.measures["divergence"].scores["matched"]
        assert found is not None
        return found.total

    def figure(self) -> HtmlFigure:
        """Every head of both models for the text, to look at and to click through.

        Raises:
            ValueError: the text has more tokens than such a page holds.
        """
        from engine.reports.attention_page import ModelAttention, attention_page

        score = self.score
        interval = "" if math.isnan(score.low) else f" ({score.low:.3f} to {score.high:.3f})"
        summary = (
            f"Inheritance score {score.score:.3f}{interval} over "
            f"{len(self.inheritance.sentences)} sentences: 0 is a random student, 1 the teacher itself."
        )
        models = [
            ModelAttention("teacher", f"Teacher {self.labels[1]}", self.tokens, self.teacher),
            ModelAttention("student", f"Student {self.labels[0]}", self.tokens, self.student),
        ]
        return HtmlFigure(attention_page(models, self.text, [summary, *self.inheritance.notes]))


def examine(
    student: TrainedStudent | str,
    teacher: TrainedStudent | str | None = None,
    text: str = "",
    *,
    sentences: int | Sequence[str] = 64,
    runs: str | os.PathLike[str] = RUNS,
) -> Examination:
    """Lays a student beside its teacher: attention over `text`, and the inheritance score over many sentences.

    Args:
        student: what train returned, a run's id, or a model's name as a teacher has one.
        teacher: whom to compare with; the student's own teacher when it is left out.
        text: the sentence to look at, by default the teacher's example.
        sentences: what is scored: so many held-out sentences of the student's text, or sentences of your own.
        runs: the folder of runs; that of the student where it is known.

    Raises:
        ValueError: (RunError, TeacherError, ProbeError, InheritanceError) there is no such model, no teacher, or the
            two cannot be compared.
    """
    from engine.inheritance.probe_sentences import LONGEST, held_out_sentences, typed_sentences
    from engine.inheritance.report import check_vocabulary, inheritance_report
    from engine.inspection.probe import probe
    from engine.text.corpora import open_corpus

    runs = student.run.path.parent if isinstance(student, TrainedStudent) else Path(runs)
    learned = _opened(student, runs)
    if not teacher and not learned.teacher:
        raise ValueError(f"{learned.name} has no teacher; name the one to compare with: examine(student, teacher).")
    taught = _opened(teacher or learned.teacher, runs)
    check_vocabulary(learned.tokenizer, taught.tokenizer)
    room = min(learned.bert.shape.positions, taught.bert.shape.positions)
    if not isinstance(sentences, int):
        lines = [sentences] if isinstance(sentences, str) else sentences
        chosen = typed_sentences(lines, learned.tokenizer, min(64, room))
    elif sentences < 1:
        raise ValueError(f"sentences must be at least 1, got {sentences}; 64 is usual.")
    else:
        length = min(learned.length, room)
        corpus = open_corpus(learned.corpus, learned.tokenizer, length, rows=1, held_out_rows=4 * sentences)
        chosen = held_out_sentences(corpus, sentences, min(LONGEST, length))
    text = text.strip() or teacher_card(_teacher_name(taught.name), _folder(teacher, runs)).example
    seen = [probe(model.bert.eval(), model.tokenizer, text, min(64, room)) for model in (learned, taught)]
    report = inheritance_report(learned.bert, taught.bert, chosen, learned.tokenizer.pad_token_id)
    return Examination(
        text, seen[0].tokens, seen[0].attentions, seen[1].attentions, report, (learned.name, taught.name)
    )


def export(
    student: TrainedStudent | Run | str,
    folder: str | os.PathLike[str],
    *,
    push_to_hub: str = "",
    private: bool = False,
    onnx: bool = False,
    runs: str | os.PathLike[str] = RUNS,
) -> Path:
    """Writes a run's student into a new folder that transformers loads, with tokenizer and model card; returns it.

    Args:
        student: what train returned, a run, or its id in `runs`.
        folder: a new or empty folder; nothing is overwritten.
        push_to_hub: OWNER/NAME of a model on the Hub, as which the folder is put there, too; empty: it is not.
        private: whether that model, if it is made, is for its owner only.
        onnx: whether it is written as model.onnx, too, which needs the package onnx.
        runs: the folder of runs in which an id looks.

    Raises:
        ValueError: (RunError, CheckpointError, PushError) there is no such student, the folder is not empty, or the
            Hub refuses.
    """
    from engine.teachers.student_export import export_student

    run = student.run if isinstance(student, TrainedStudent) else student
    if not isinstance(run, Run):
        run = open_run(Path(runs), run)
    return export_student(run, Path(folder), push_to_hub, private, onnx).folder


def _folder(model: TrainedStudent | str | None, runs: Path) -> Path:
    """The folder of runs in which a model lies."""
    return model.run.path.parent if isinstance(model, TrainedStudent) else runs


def _opened(model: TrainedStudent | str, runs: Path) -> NamedModel:
    from engine.teachers.catalog import open_model

    return open_model(model.run.id if isinstance(model, TrainedStudent) else model, _folder(model, runs))


def _teacher_name(name: str) -> str:
    """A model's name as the registry of teachers has it; a run's id alone is known to it as run:ID."""
    return name if name in TEACHERS or ":" in name else f"run:{name}"


@contextmanager
def _as_config_error() -> Iterator[None]:
    """Whatever says that a run cannot be as asked (its shape, teacher or text) is a ConfigError to the caller."""
    try:
        yield
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError([str(error)]) from error


@contextmanager
def _interrupt_saves(run: Run) -> Iterator[None]:
    """Inside, Ctrl-C asks the run to save and stop; in a thread, which gets no signals, nothing changes."""
    from engine.training.job import stop_on

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.getsignal(signal.SIGINT)
    stop_on(run, signal.SIGINT)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
