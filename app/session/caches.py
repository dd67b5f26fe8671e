"""What outlives one rerun: chosen values, the page's link, cached models. The only file that touches them."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from engine.settings.project import PROJECT

if TYPE_CHECKING:
    from engine.model.saved_models import Model
    from engine.settings.device import Device
    from engine.storage.runs import Run

RUNS = Path(os.environ.get("HEIRLOOM_RUNS", PROJECT / "runs"))
_scoring = threading.Lock()  # a minute of computing: not twice at a time
A_MOMENT = 0.2  # seconds
_SHOWN = "shown_once"
_looking = threading.Lock()  # a cached model is shared by all sessions; one looks through it at a time


def dark() -> bool:
    """Whether the browser shows the dark theme."""
    return st.context.theme.type == "dark"


def link(name: str) -> str:
    """The value of `name` in the page's link, or an empty string."""
    return str(st.query_params.get(name, ""))


def set_link(name: str, value: str) -> None:
    """Puts `name` into the page's link, so that it can be shared and survives a reload; takes an empty one out."""
    if link(name) != value:
        if value:
            st.query_params[name] = value
        else:
            del st.query_params[name]


LONGEST = 2000  # letters of a text in the page's link


def keep_text(name: str, text: str, usual: str) -> None:
    """Puts a person's `text` into the link unless it is the `usual` one, or too long for a link."""
    set_link(name, "" if text == usual or len(text) > LONGEST else text)


def whole_link() -> dict[str, list[str]]:
    """Every parameter of the page's link; each may come several times."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def set_whole_link(parameters: dict[str, str | list[str]]) -> None:
    """Makes `parameters` the page's link, and takes everything else out of it."""
    wanted = {name: [value] if isinstance(value, str) else list(value) for name, value in parameters.items()}
    if whole_link() != wanted:
        st.query_params.from_dict(wanted)


def remember(name: str, value: Any) -> None:
    """Keeps `value` for this session."""
    st.session_state[name] = value


def recall(name: str, default: Any = None) -> Any:
    """What was remembered under `name`."""
    return st.session_state.get(name, default)


def show_what_is_there() -> None:
    """Once a session: gives the browser a moment to draw what has been sent before it is sent more.

    It takes everything that arrives together as one piece: four numbers then wait half a second for the controls, the
    bars and the formula that nobody has looked at yet (log/size.md, 2026-11-25).
    """
    if not recall(_SHOWN) and st.context.url:
        time.sleep(A_MOMENT)
    remember(_SHOWN, True)


@st.cache_resource(show_spinner=False)
def machine() -> dict[str, Any]:
    """What was measured of this machine since the server started; empty at first. All sessions share it."""
    return {}


@st.cache_resource(show_spinner="Looking for a GPU")
def device() -> Device:
    """The best device of this machine."""
    from engine.settings.device import pick_device

    return pick_device()


@st.cache_resource(max_entries=3, show_spinner="Loading the teacher")
def teacher_model(name: str) -> Model:
    """The teacher called `name`, ready to be looked into."""
    from engine.model.saved_models import Model
    from engine.teachers import catalog as teachers

    teacher = teachers.load_teacher(name, RUNS)
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
    from engine.model.saved_models import load_model

    return load_model(Path(folder))


@st.cache_data(max_entries=8, show_spinner="Reading the corpus")
def corpus_preview(teacher: str, corpus: str, length: int, kind: str, share: float, seed: int) -> Any:
    """`engine.text.preview.preview_corpus` of a corpus as the tokenizer of `teacher` sees it.

    Raises:
        ValueError: (CorpusError, TeacherError) it cannot be read.
    """
    from engine.text.masking import Masking
    from engine.text.preview import preview_corpus

    model = teacher_model(teacher)
    return preview_corpus(corpus, model.tokenizer, min(length, model.bert.shape.positions), Masking(kind, share), seed)


def fill(model: Model, text: str) -> Any:
    """`engine.inspection.fill_in.fill_in` of `model`, one session at a time.

    Raises:
        ProbeError: there is no blank in the text, or it is too long.
    """
    from engine.inspection.fill_in import fill_in

    with _looking:
        return fill_in(model.bert, model.tokenizer, text)


def probe_task(model: Model, task: str, progress: Any) -> dict[str, Any]:
    """`engine.tasks.scores.score_task` of `model`, three seeds of a linear probe; a session at a time.

    Raises:
        TaskError: the task's data cannot be had.
    """
    import copy

    from engine.tasks.catalog import find_task
    from engine.tasks.scores import score_task

    with _scoring:  # on a copy: on a machine with a GPU it moves there
        return score_task(copy.deepcopy(model.bert), model.tokenizer, find_task(task), None, 3, device(), progress)


def look(model: Model, text: str, second: str = "") -> Any:
    """`engine.inspection.probe.probe` of `model`, one session at a time.

    Raises:
        ProbeError: there is no word in the text.
    """
    from engine.inspection.probe import probe

    with _looking:
        return probe(model.bert, model.tokenizer, text, second=second)


@st.cache_data(max_entries=32, show_spinner=False)
def score_curve(folder: str, size: int) -> Any:
    """The inheritance score over the training of the run in `folder`, whose events are `size` bytes by now."""
    from engine.inheritance.curve import read_inheritance_curve
    from engine.storage.runs import Run

    return read_inheritance_curve(Run(Path(folder)))


@st.cache_data(max_entries=64, show_spinner="Developing the film")
def film_pictures(folder: str, size: int, sentence: int, dark: bool) -> tuple[bytes, dict[int, tuple[bytes, bytes]]]:
    """(the teacher's picture, step -> the student's large and small) of a sentence of the snapshots in `folder`.

    `size`: bytes in the folder, so that what a run adds is seen. A damaged snapshot is left out.

    Raises:
        SnapshotError: the list of sentences or the teacher's snapshot is damaged.
    """
    from app.elements.mosaic_image import mosaic_png, smaller
    from app.elements.theme import theme
    from engine.storage.attention_frames import AttentionFramesError, read_frames

    snapshots, colours, found = read_frames(Path(folder)), theme(dark), {}
    assert snapshots is not None
    for step in snapshots.steps:
        with contextlib.suppress(AttentionFramesError):
            maps = snapshots.student(step, sentence)
            found[step] = mosaic_png(maps, "student", colours), mosaic_png(smaller(maps), "student", colours)
    return mosaic_png(snapshots.teacher(sentence), "teacher", colours), found


def score_inheritance(
    teacher: Model, student: Model, scratch: Model | None, lines: str | None, count: int, keep: bool, progress: Any
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
    with _looking:
        return inheritance_report(
            student.bert,
            teacher.bert,
            sentences,
            student.tokenizer.pad_token_id,
            scratch=scratch.bert if scratch else None,
            keep_special=keep,
            progress=progress,
        )


def newest(folder: Path) -> str:
    """A name for the student in `folder` that changes when it is made anew."""
    card = folder / "card.json"
    return f"{folder.parent.name}@{card.stat().st_mtime_ns if card.exists() else 0}"


MOST_KEPT = 64  # results; the oldest go first
_computing = threading.RLock()  # what takes seconds is computed once, for all sessions


@st.cache_resource(show_spinner=False)
def _results() -> dict[tuple[Any, ...], Any]:
    return {}


def known(*key: Any) -> bool:
    """Whether `computed` has the answer to `key` at hand."""
    return key in _results()


def computed(key: tuple[Any, ...], make: Callable[[], Any]) -> Any:
    """What `make` gives, kept under `key`, which names everything that it depends on. One thread makes at a time.

    Not a cached function of the library's: those may not draw a progress bar that was there before.
    """
    results = _results()
    if key not in results:
        with _computing:
            if key not in results:
                made = make()
                while len(results) >= MOST_KEPT:
                    results.pop(next(iter(results)))
                results[key] = made
    return results[key]


def changed_look(model: Model, text: str, heads: Sequence[tuple[int, int]], how: str) -> Any:
    """`engine.inspection.probe.probe` of `model` with `heads` changed by `interventions`; one session at a time.

    Raises:
        ProbeError: there is no word in the text.
    """
    from engine.inspection.interventions import intervened
    from engine.inspection.probe import probe

    with _looking, intervened(model.bert, heads, how):
        return probe(model.bert, model.tokenizer, text)


def changed_fill(model: Model, text: str, heads: Sequence[tuple[int, int]], how: str) -> Any:
    """`engine.inspection.fill_in.fill_in` of `model` with `heads` changed by `interventions`; one session at a time.

    Raises:
        ProbeError: there is no blank in the text, or it is too long.
    """
    from engine.inspection.fill_in import fill_in
    from engine.inspection.interventions import intervened

    with _looking, intervened(model.bert, heads, how):
        return fill_in(model.bert, model.tokenizer, text)


def report(run: Run) -> str:
    """The report of `run` as one HTML page; where it cannot be made, a page that says why."""
    from engine.reports.html_page import escape, html_document
    from engine.reports.run_report import run_report as made

    try:
        with _looking:
            return made(run, RUNS)
    except ValueError as error:
        return html_document(run.id, [f"<h1>{escape(run.id)}</h1>", f"<p>{escape(error)}</p>"])
