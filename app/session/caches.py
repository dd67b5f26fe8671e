"""What all sessions share: models, previews, scores, films and other results, each computed once."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from engine.settings.project import WORKPLACE
from engine.storage.events_file import EventHistory

if TYPE_CHECKING:
    from engine.model.saved_models import Model
    from engine.settings.device import Device
    from engine.storage.runs import Run
    from engine.text.nltk_data import Fetching

RUNS = Path(os.environ.get("HEIRLOOM_RUNS", WORKPLACE / "runs"))
_scoring_lock = threading.Lock()  # a minute of computing: not twice at a time
_fetching_lock = threading.Lock()  # a text is downloaded once, whoever presses
_model_lock = threading.Lock()  # a cached model is shared by all sessions; one looks through it at a time


@st.cache_resource(show_spinner=False)
def machine_rates() -> dict[str, Any]:
    """What was measured of this machine since the server started; empty at first. All sessions share it."""
    return {}


@st.cache_resource(show_spinner=False)
def _fetched_texts() -> dict[tuple[str, ...], Fetching]:
    return {}


def fetching(names: tuple[str, ...]) -> Fetching | None:
    """The download of NLTK's collections `names` that some session began last, at work or ended."""
    return _fetched_texts().get(names)


def begin_fetching(names: tuple[str, ...]) -> None:
    """Begins to download them in the background, unless a session has begun and it is still at work."""
    from engine.text.nltk_data import Fetching

    with _fetching_lock:
        last = fetching(names)
        if last is None or not last.is_alive():
            _fetched_texts()[names] = begun = Fetching(names)
            begun.start()


@st.cache_resource(show_spinner="Looking for a GPU")
def device() -> Device:
    """The best device of this machine."""
    from engine.settings.device import pick_device

    return pick_device()


@st.cache_resource(max_entries=3, show_spinner="Loading the teacher")
def teacher_model(name: str) -> Model:
    """The teacher called `name`, ready to be looked into."""
    from engine.model.saved_models import Model
    from engine.teachers import catalog

    teacher = catalog.load_teacher(name, RUNS)
    return Model(teacher.bert.eval(), teacher.tokenizer, {"label": teacher.card.label})


def student_model(folder: Path) -> Model:
    """The student saved in `folder`.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    card = folder / "card.json"
    return _student_model(str(folder), card.stat().st_mtime_ns if card.exists() else 0)


@st.cache_resource(max_entries=3, show_spinner="Loading the student")
def _student_model(folder: str, modified: int) -> Model:
    from engine.model.saved_models import CheckpointError, load_model
    from engine.storage.run_records import RunRecordError, check_card

    model = load_model(Path(folder))
    try:
        check_card(model.card)
    except RunRecordError as error:
        raise CheckpointError(f"The card of the student of {Path(folder).parent.name} {error}.") from error
    return model


@st.cache_data(max_entries=8, show_spinner="Reading the corpus")
def corpus_preview(
    teacher: str, corpus: str, length: int, kind: str, share: float, seed: int, pairs: str = "none"
) -> Any:
    """`engine.text.preview.preview` of a corpus as the tokenizer of `teacher` sees it.

    Raises:
        ValueError: (CorpusError, TeacherError) it cannot be read.
    """
    from engine.text.masking import Masking
    from engine.text.preview import preview_corpus

    model = teacher_model(teacher)
    length = min(length, model.bert.shape.positions)
    return preview_corpus(corpus, model.tokenizer, length, Masking(kind, share), seed, pairs=pairs)


def fill_blanks(model: Model, text: str) -> Any:
    """`engine.inspection.fill_in.fill_in` of `model`, one session at a time.

    Raises:
        ProbeError: there is no blank in the text, or it is too long.
    """
    from engine.inspection.fill_in import fill_in

    with _model_lock:
        return fill_in(model.bert, model.tokenizer, text)


def score_linear_probe(model: Model, task: str, progress: Any) -> dict[str, Any]:
    """`engine.tasks.scores.score` of `model`, three seeds of a linear probe; a session at a time.

    Raises:
        TaskError: the task's data cannot be had.
    """
    import copy

    from engine.tasks.catalog import find_task
    from engine.tasks.scores import score_task

    with _scoring_lock:  # on a copy: on a machine with a GPU it moves there
        return score_task(copy.deepcopy(model.bert), model.tokenizer, find_task(task), None, 3, device(), progress)


def probe_text(model: Model, text: str, second: str = "") -> Any:
    """`engine.inspection.probe.probe` of `model`, one session at a time.

    Raises:
        ProbeError: there is no word in the text.
    """
    from engine.inspection.probe import probe

    with _model_lock:
        return probe(model.bert, model.tokenizer, text, second=second)


@st.cache_resource(max_entries=32, show_spinner=False)
def _kept_history(events_path: str) -> EventHistory:
    return EventHistory(Path(events_path))


def run_history(run: Run) -> list[dict[str, Any]]:
    """The events of `run` as `Run.history` gives them: read once for all sessions, then only what was added.

    Raises:
        RunError: they cannot be read.
    """
    return run.history(_kept_history(str(run.events_path)))


@st.cache_data(max_entries=32, show_spinner=False)
def inheritance_curve(folder: str, size: int) -> Any:
    """`engine.inheritance.curve.read_curve` of the run in `folder`, whose events are `size` bytes by now."""
    from engine.inheritance.curve import read_inheritance_curve
    from engine.storage.runs import Run

    run = Run(Path(folder))
    return read_inheritance_curve(run, run_history(run))


@st.cache_data(max_entries=64, show_spinner="Developing the film")
def film_pictures(folder: str, size: int, sentence: int, dark: bool) -> tuple[bytes, dict[int, tuple[bytes, bytes]]]:
    """(the teacher's picture, step -> the student's large and small) of a sentence of the snapshots in `folder`.

    `size`: bytes in the folder, so that what a run adds is seen. A damaged snapshot is left out.

    Raises:
        SnapshotError: the list of sentences or the teacher's snapshot is damaged.
    """
    from app.elements.mosaic_image import half_size, mosaic_png
    from app.elements.theme import theme
    from engine.storage.attention_frames import AttentionFramesError, read_frames

    snapshots, colours, found = read_frames(Path(folder)), theme(dark), {}
    assert snapshots is not None
    for step in snapshots.steps:
        with contextlib.suppress(AttentionFramesError):
            maps = snapshots.student(step, sentence)
            found[step] = mosaic_png(maps, "student", colours), mosaic_png(half_size(maps), "student", colours)
    return mosaic_png(snapshots.teacher(sentence), "teacher", colours), found


def score_inheritance(
    teacher: Model,
    student: Model,
    scratch: Model | None,
    lines: str | None,
    count: int,
    keep_special: bool,
    progress: Any,
) -> Any:
    """`engine.inheritance.report.inheritance_report` of `student`, a session at a time.

    `lines`: a person's own sentences, one a line; None for `count` held-out ones of the student's text.

    Raises:
        ValueError: (InheritanceError, CorpusError) it cannot be scored; says why.
    """
    from engine.inheritance.probe_sentences import LONGEST, held_out_sentences, typed_sentences
    from engine.inheritance.report import check_vocabulary, inheritance_report
    from engine.text.corpora import open_corpus

    check_vocabulary(student.tokenizer, teacher.tokenizer)
    room = min(student.bert.shape.positions, teacher.bert.shape.positions)
    if lines is None:
        length = min(int(student.card["length"]), room)
        corpus = open_corpus(str(student.card["corpus"]), student.tokenizer, length, rows=1, held_out_rows=4 * count)
        sentences = held_out_sentences(corpus, count, min(LONGEST, length))
    else:
        sentences = typed_sentences(lines.splitlines(), student.tokenizer, min(64, room))
    with _model_lock:
        return inheritance_report(
            student.bert,
            teacher.bert,
            sentences,
            student.tokenizer.pad_token_id,
            scratch=scratch.bert if scratch else None,
            keep_special=keep_special,
            progress=progress,
        )


def student_version(folder: Path) -> str:
    """A name for the student in `folder` that changes when it is made anew."""
    card = folder / "card.json"
    return f"{folder.parent.name}@{card.stat().st_mtime_ns if card.exists() else 0}"


MOST_RESULTS = 64  # results; the oldest go first
_computing_lock = threading.RLock()  # what takes seconds is computed once, for all sessions


@st.cache_resource(show_spinner=False)
def _results() -> dict[tuple[Any, ...], Any]:
    return {}


def is_computed(*key: Any) -> bool:
    """Whether `compute_once` has the answer to `key` at hand."""
    return key in _results()


def compute_once(key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """What `make` gives, kept under `key`, which names everything that it depends on. One thread makes at a time.

    Not a cached function of the library's: those may not draw a progress bar that was there before.
    """
    results = _results()
    if key not in results:
        with _computing_lock:
            if key not in results:
                result = make()
                while len(results) >= MOST_RESULTS:
                    results.pop(next(iter(results)))
                results[key] = result
    return results[key]


def probe_text_intervened(model: Model, text: str, heads: Sequence[tuple[int, int]], how: str) -> Any:
    """`engine.inspection.probe.probe` of `model` with `heads` changed by `interventions`; one session at a time.

    Raises:
        ProbeError: there is no word in the text.
    """
    from engine.inspection.interventions import intervened
    from engine.inspection.probe import probe

    with _model_lock, intervened(model.bert, heads, how):
        return probe(model.bert, model.tokenizer, text)


def fill_blanks_intervened(model: Model, text: str, heads: Sequence[tuple[int, int]], how: str) -> Any:
    """`engine.inspection.fill_in.fill_in` of `model` with `heads` changed by `interventions`; one session at a time.

    Raises:
        ProbeError: there is no blank in the text, or it is too long.
    """
    from engine.inspection.fill_in import fill_in
    from engine.inspection.interventions import intervened

    with _model_lock, intervened(model.bert, heads, how):
        return fill_in(model.bert, model.tokenizer, text)


def report_html(run: Run) -> str:
    """The report of `run` as one HTML page; where it cannot be made, a page that says why."""
    from engine.reports.html_page import escape, html_document
    from engine.reports.run_report import run_report

    try:
        with _model_lock:
            return run_report(run, RUNS)
    except ValueError as error:
        return html_document(run.id, [f"<h1>{escape(run.id)}</h1>", f"<p>{escape(error)}</p>"])
