"""Which models the verb size counts, by their names: presets, checkpoints, runs and teachers, mixed as they came.

Of a checkpoint its config.json is enough. Loads torch only where a config leaves a field out, for then the library's
own class is asked for its default, and importing any class of the library imports torch.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.sizing.shape import Shape, ShapeError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from engine.storage.runs import Run

LONGEST_SENTENCE = 199  # letters
MODEL_HELP = (
    "count what you have, from its config alone: local:FOLDER (a folder with a config.json, weights or not), "
    "hub:OWNER/NAME (only its config.json is fetched), run:ID (its student) or a teacher's name such as minilm; may be "
    "repeated and mixed with --preset, for instance --preset bert-base --model local:mine --layers 6"
)


@dataclass(frozen=True)
class NamedShape:
    """A model to be counted."""

    name: str
    shape: Shape
    notes: tuple[str, ...] = ()  # what the count leaves out, or what was chosen silently, a sentence each


def add_models(group: argparse._ArgumentGroup) -> None:
    """Adds --preset and --model, whose values stand together in `models`, as (kind, name), in the order given."""

    def named(kind: str) -> Any:
        return lambda name: (kind, name)

    known: dict[str, Any] = {"dest": "models", "action": "append", "default": []}
    group.add_argument(
        "--preset", type=named("preset"), metavar="NAME", help="a known model; up to four stand side by side", **known
    )
    group.add_argument("--model", type=named("model"), metavar="MODEL", help=MODEL_HELP, **known)


def find_models(asked: Sequence[tuple[str, str]], runs: Path) -> list[NamedShape]:
    """The models that were `asked` for, as (kind, name). `runs`: the folder in which run:ID looks.

    Raises:
        ValueError: (ShapeError, TeacherError) there is no such model, or it cannot be counted, in one sentence.
    """
    from engine.sizing.presets import find_preset

    found = []
    for kind, name in asked:
        if kind == "preset":
            preset = find_preset(name)
            found.append(NamedShape(preset.label, preset.shape))
        else:
            found.append(_find(name.strip(), runs))
    return found


def _find(name: str, runs: Path) -> NamedShape:
    from engine.teachers.card import TeacherError

    kind, colon, place = name.partition(":")
    try:
        if colon and kind in ("local", "hub"):
            return _checkpoint(kind, place)
        if colon and kind == "run":
            return _student(place, runs)
        return _teacher(name)
    except ValueError as error:  # each of the files behind it has a class of its own
        text = " ".join(str(error).split())
        raise TeacherError(text if len(text) <= LONGEST_SENTENCE else f"{text[: LONGEST_SENTENCE - 1]}…") from error


def _checkpoint(kind: str, place: str) -> NamedShape:
    """A model in the library's format, by its config alone."""
    from engine.model.library_classes import model_of_config
    from engine.teachers.checkpoint_files import PretrainedError, shown
    from engine.teachers.pretrained import hub_config, local_config

    config = local_config(place) if kind == "local" else hub_config(place)
    name = shown(place.rstrip("/").removesuffix("/config.json").rpartition("/")[2] or place)
    try:
        found = model_of_config(config)
    except ShapeError as error:
        raise PretrainedError(f"{name} cannot be counted: {error.problems[0]}") from error
    return NamedShape(f"{name}, {found.name}", found.shape, tuple(f"{name}: {note}" for note in found.about))


def _teacher(name: str) -> NamedShape:
    from engine.teachers.catalog import teacher_card

    card = teacher_card(name)
    return NamedShape(card.label, card.shape.replace(mlm_head=card.has_head))


def _student(id: str, runs: Path) -> NamedShape:
    """The student of a run, as its card says; of a run at work, the one that it set out to make."""
    from engine.storage.runs import RunError, open_run
    from engine.teachers.catalog import student_card
    from engine.teachers.checkpoint_files import shown

    try:
        run = open_run(runs, id)
    except RunError as error:
        there = f"{shown(str(runs))}; `python -m engine runs` lists those there are"
        raise RunError(f"There is no run {id[:40]!r} in {there}.") from error
    if not (run.student_dir / "card.json").is_file() and (planned := _planned_shape(run)) is not None:
        note = f"Run {shown(id)} has no student yet; counted is the one that it set out to make."
        return NamedShape(f"Run {id}", planned, (note,))
    try:
        return NamedShape(f"Run {id}", Shape.from_json(student_card(id, runs)["shape"]))
    except (ShapeError, KeyError) as error:
        raise RunError(f"The student of the run {shown(id)} has a damaged card ({type(error).__name__}).") from error


def _planned_shape(run: Run) -> Shape | None:
    """The student's shape in the first event of a run that began."""
    for event in run.events()[0]:
        if event["kind"] == "start" and isinstance(event.get("student_shape"), dict):
            return Shape.from_json(event["student_shape"])
    return None
