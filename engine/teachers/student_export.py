"""A run's student, exported for the transformers library and, if asked for, put on the Hub.

Beside engine/model/export.py, which writes the folder, this knows runs and teachers: the card names the first teacher
of the chain and its licence.
"""

from __future__ import annotations

from pathlib import Path

from engine.model.export import Exported, export_model, refuse_used_folder
from engine.model.exported_card import Provenance
from engine.model.saved_models import load_lineage, load_model
from engine.settings.error_text import first_line
from engine.settings.reachable import reachable
from engine.storage.runs import Run
from engine.teachers.catalog import first_teacher_card, parent_run

LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


class PushError(ValueError):
    """A folder that cannot be put on the Hub, in one sentence."""


def export_student(run: Run, folder: Path, push_to: str = "", private: bool = False, onnx: bool = False) -> Exported:
    """Writes the student of `run` into the new `folder`, and puts it on the Hub as the model `push_to`, if given.

    `onnx`: as an ONNX file in it, too. Whether the Hub can take it is asked before anything is written, as far as that
    can be told.

    Raises:
        ValueError: (CheckpointError, PushError) there is no student, `folder` is not empty, or the Hub takes it not.
    """
    refuse_used_folder(folder)
    if push_to:
        refuse_unpushable(push_to)
    student = load_model(run.student_dir)
    whence = provenance(str(student.card.get("teacher") or ""), run.path.parent)
    exported = export_model(student, folder, load_lineage(run.student_dir), whence, onnx)
    if push_to:
        push(folder, push_to, private)
    return exported


def provenance(teacher: str, runs: Path) -> Provenance:
    """The first teacher of the chain that ends with `teacher`, as far as it is still to be found in `runs`."""
    first = first_teacher_card(teacher, runs) if teacher else None
    return Provenance(first.name, first.licence) if first else Provenance("" if parent_run(teacher) else teacher)


def refuse_unpushable(repository: str) -> None:
    """Raises PushError if `repository` is no name of a model on the Hub, or there is no token or no network."""
    from huggingface_hub import constants, get_token
    from huggingface_hub.utils import HFValidationError, validate_repo_id

    try:
        validate_repo_id(repository)
    except HFValidationError as error:
        raise PushError(
            f"A model of the Hub is named OWNER/NAME in letters, digits, -, _ and ., got {repository[:80]!r}."
        ) from error
    if get_token() is None:
        raise PushError(f"Putting a model on the Hub needs a token, and there is none: {LOG_IN}.")
    if not reachable(constants.ENDPOINT):
        raise PushError(f"There is no network to put {repository} on the Hub through; export without it, or try again.")


def push(folder: Path, repository: str, private: bool = False) -> None:
    """Puts an exported `folder` on the Hub as the model `repository`, made if it is not there; `private`: if made.

    The token is the one that huggingface_hub finds by itself.

    Raises:
        PushError: the Hub or the network refuses; the folder stays.
    """
    from huggingface_hub import HfApi

    api = HfApi()
    try:
        made = api.create_repo(repository, private=private, exist_ok=True)
        api.upload_folder(repo_id=made.repo_id, folder_path=folder, commit_message="Exported from Heirloom")
    except Exception as error:  # the Hub's, the network's and a parser's, of every kind
        status = getattr(getattr(error, "response", None), "status_code", None)
        said = f"it refuses this token ({LOG_IN})" if status in (401, 403) else first_line(error)[:150]
        raise PushError(f"{folder} is written, but could not be put on the Hub as {repository}: {said}.") from error
