"""From a name to a model: every teacher by its name, and `open_model` for a teacher or a run's student alike.

Teachers that are shipped have plain names (`microworld`); `hub:ID` and `local:PATH` are checkpoints in the format of
the package transformers, and `run:ID` is the student of a finished run, teaching in its turn. `teacher_card` tells what
is known of one without loading torch; `load_teacher` reads the weights.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.sizing.shape import Shape, ShapeError
from engine.storage.json_file import JsonFileError, read_json_object
from engine.storage.runs import RunError, open_run
from engine.teachers import pretrained
from engine.teachers.card import ENGLISH, Card, Teacher, TeacherError
from engine.teachers.shipped import SHIPPED

if TYPE_CHECKING:
    from engine.model.bert import Bert

TEACHERS = SHIPPED
RUNS = Path(os.environ.get("HEIRLOOM_RUNS", "runs"))  # where run:ID looks unless it is told
MOST_GENERATIONS = 100  # of students that taught students


def _pretrained_card(name: str, outline: pretrained.CheckpointOutline) -> Card:
    kind, _, place = name.partition(":")
    trained = outline.about.get("datasets", "")
    return Card(
        name,
        place.rstrip("/").rpartition("/")[2] or place,
        outline.shape,
        {"hub": f"{place} from the Hub", "local": f"The checkpoint in {place}"}[kind]
        + (f", trained on {trained}." if trained else "; it does not say what it was trained on."),
        "masked-LM" if outline.has_head else "an encoder's; it came without a masked-LM head",
        outline.about.get("license", "not stated"),
        "nltk:brown",
        min(64, outline.shape.positions),
        32,
        ENGLISH,
        has_head=outline.has_head,
        notes=outline.notes,
    )


@functools.lru_cache(maxsize=32)  # a form asks at every touch
def _hub_outline(id: str) -> pretrained.CheckpointOutline:
    return pretrained.hub_outline(id)


def _hub_card(id: str, runs: Path) -> Card:
    return _pretrained_card(f"hub:{id}", _hub_outline(id))


def _load_hub(id: str, runs: Path) -> Teacher:
    card = _hub_card(id, runs)
    bert, tokenizer = pretrained.read_folder(pretrained.hub_folder(id))
    return Teacher(dataclasses.replace(card, shape=bert.shape), bert, tokenizer)  # only values tell a decoder apart


def _local_card(path: str, runs: Path) -> Card:
    return _pretrained_card(f"local:{path}", pretrained.local_outline(path))


def _load_local(path: str, runs: Path) -> Teacher:
    card = _local_card(path, runs)
    return Teacher(card, *pretrained.read_folder(pretrained.local_folder(path)))


def _run_card(id: str, runs: Path) -> Card:
    made = student_card(id, runs)
    try:
        shape, teacher = Shape.from_json(made["shape"]), str(made["teacher"])
        corpus, length, batch = str(made["corpus"]), int(made["length"]), int(made["batch"])
        scores = {name: float(value) for name, value in made["scores"].items()}
    except (ShapeError, ValueError, KeyError, TypeError, AttributeError, OverflowError) as error:
        raise TeacherError(f"The student of the run {id} has a damaged card ({type(error).__name__}).") from error
    first = first_teacher_card(teacher, runs)
    return Card(
        f"run:{id}",
        f"Run {id}",
        shape.replace(mlm_head=True),
        f"The student that the run {id} made from the teacher {teacher} by {made.get('method')}, on {corpus}.",
        "masked-LM" if shape.mlm_head else "a task's; it has no masked-LM head",
        first.licence if first else "as its teacher's",
        corpus,
        min(length, shape.positions),
        batch,
        first.example if first else ENGLISH,
        has_head=shape.mlm_head,
        scores=scores,
    )


def student_card(id: str, runs: Path) -> dict[str, Any]:
    """What the student of the run `id` says of itself.

    Raises:
        TeacherError: it has none, or a damaged card.
    """
    path = open_run(runs, id).student_dir / "card.json"
    if not path.is_file():
        raise TeacherError(f"The run {id} has no student yet; wait until it is finished.")
    try:
        return read_json_object(path, links=False)
    except JsonFileError as error:
        raise TeacherError(f"The student of the run {id} has a damaged card: it {error}.") from error
    except OSError as error:
        raise TeacherError(f"The student of the run {id} has a damaged card ({type(error).__name__}).") from error


def first_teacher_card(name: str, runs: Path) -> Card | None:
    """The teacher at the beginning of a chain of runs, if it is still to be found."""
    with contextlib.suppress(ValueError):
        for _ in range(MOST_GENERATIONS):
            if not parent_run(name):
                return teacher_card(name, runs)
            name = str(student_card(parent_run(name), runs).get("teacher"))
    return None


def _load_run(id: str, runs: Path) -> Teacher:
    from engine.model.new_head import with_mlm_head
    from engine.model.saved_models import load_model

    card = _run_card(id, runs)
    model = load_model(open_run(runs, id).student_dir)
    return Teacher(card, with_mlm_head(model.bert), model.tokenizer)


KINDS: dict[str, tuple[Callable[[str, Path], Card], Callable[[str, Path], Teacher]]] = {
    "hub": (_hub_card, _load_hub),
    "local": (_local_card, _load_local),
    "run": (_run_card, _load_run),
}


def teacher_card(name: str, runs: Path | None = None) -> Card:
    """The card of the teacher called `name`; `runs`: the folder in which run:ID looks.

    Raises:
        TeacherError: there is no such teacher, or its files are missing, or there is no network to it.
    """
    kind, colon, rest = name.partition(":")
    if colon and kind in KINDS:
        with _as_teacher_error():
            return KINDS[kind][0](rest, RUNS if runs is None else runs)
    return _shipped_card(name)


@functools.lru_cache(maxsize=8)
def _shipped_card(name: str) -> Card:
    return _shipped(name)[0]()


def load_teacher(name: str, runs: Path | None = None) -> Teacher:
    """The teacher called `name`, its weights in float32 on the CPU; `runs`: the folder in which run:ID looks.

    Raises:
        TeacherError: there is no such teacher, or its files are missing or not what they should be.
    """
    kind, colon, rest = name.partition(":")
    if colon and kind in KINDS:
        with _as_teacher_error():
            return KINDS[kind][1](rest, RUNS if runs is None else runs)
    return _shipped(name)[1]()


def parent_run(name: str) -> str:
    """The id of the run that the teacher `name` came out of, or an empty string."""
    return name.removeprefix("run:") if name.startswith("run:") else ""


def _shipped(name: str) -> tuple[Callable[[], Card], Callable[[], Teacher]]:
    if name not in TEACHERS:
        kinds = "hub:ID, local:PATH or run:ID"
        raise TeacherError(f"There is no teacher {name[:80]!r}; choose one of {', '.join(TEACHERS)}, {kinds}.")
    return TEACHERS[name]


@contextlib.contextmanager
def _as_teacher_error() -> Iterator[None]:
    try:
        yield
    except (pretrained.PretrainedError, RunError, ShapeError) as error:
        raise TeacherError(str(error)) from error


@dataclass(frozen=True)
class NamedModel:
    """A teacher or a run's student, found by its name, with what is needed to score it."""

    name: str
    bert: Bert
    tokenizer: Any
    corpus: str  # the text it knows
    length: int
    teacher: str  # whom it learned from; empty for a teacher
    notes: tuple[str, ...] = ()  # what its card says was chosen silently


def open_model(name: str, runs: Path) -> NamedModel:
    """The teacher `name` (a registered one, hub:, local: or run:), or the student of the run with this id in `runs`.

    Raises:
        ValueError: (TeacherError, RunError, CheckpointError) there is none, or it is damaged.
    """
    if name in TEACHERS or ":" in name:
        teacher = load_teacher(name, runs)
        parent = parent_run(name)
        above = student_card(parent, runs).get("teacher", "") if parent else ""
        card = teacher.card
        return NamedModel(name, teacher.bert, teacher.tokenizer, card.corpus, card.length, str(above), card.notes)
    from engine.model.saved_models import load_model

    model = load_model(open_run(runs, name).student_dir)
    made = model.card
    return NamedModel(name, model.bert, model.tokenizer, str(made["corpus"]), int(made["length"]), str(made["teacher"]))
