"""The state of a run on disk, from which it goes on as if nothing had been.

A folder holds the two newest, step-000000040 and the one before it: should a disk, a kill or a stray bit spoil the one,
the run goes on from the other. Nothing is believed that its checksum does not confirm.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from engine.model.saved_models import CheckpointError
from engine.settings.error_text import last_line
from engine.storage.atomic import whole_folder
from engine.storage.checksums import (
    ChecksumError,
    DigestedFile,
    NewerFormatError,
    check_files,
    refuse_newer,
    write_checksums,
)
from engine.storage.disk_space import told_when_full

FORMAT = 1  # of a state; older ones have no number
KEPT = 2  # the newest checkpoints stay
FIELDS = ("step", "student", "optimizer", "random", "extra")
ADVICE = "free some space and resume: the checkpoints before it are as they were"
FILE = "state.pt"
FOLDER = re.compile(r"step-(\d{9})")


class NoWholeCheckpointError(CheckpointError):
    """There are checkpoints, and every one is damaged."""


class NotFiniteError(CheckpointError):
    """A state with a number that is none, which is not worth keeping."""


def save_checkpoint(
    folder: Path,
    step: int,
    student: nn.Module,
    optimizer: Any,
    extra: dict[str, Any],
    config: dict[str, Any] | None = None,
) -> None:
    """Writes the state after `step` into `folder`; once it is safe, all but the newest two go, and any of later steps.

    `config`: of the run, as plain values, so that a resumed run can tell whether it is still the same.

    Raises:
        NotFiniteError: a weight or a moment is no number; what is there stays as it is.
        DiskFullError: it does not fit; as above.
    """
    parameters, moments = dict(student.named_parameters()), optimizer.state_dict()
    if odd := first_not_finite([*parameters.items(), *_tensors_in(moments["state"], "optimizer")]):
        raise NotFiniteError(f"{odd} has values that are no numbers after step {step:,}; such a state is not kept.")
    state = {
        "format": FORMAT,
        "step": step,
        "student": {name: p.detach().cpu() for name, p in parameters.items()},
        "optimizer": moments,
        "random": _random_state(),
        "extra": extra,
        "config": config,
    }
    needed = sum(tensor.numel() * tensor.element_size() for _, tensor in _tensors_in(state, ""))
    with (
        told_when_full(folder, needed, f"The checkpoint of step {step:,}", ADVICE),
        whole_folder(folder / f"step-{step:09d}") as draft,
    ):
        with (draft / FILE).open("xb") as file:
            digested = DigestedFile(file)
            try:
                torch.save(state, digested)  # type: ignore[arg-type]  # it only writes, front to back
            except RuntimeError as error:
                raise digested.error or error from error
        write_checksums(draft, {FILE: digested.record()})
    for place in _places(folder):
        if _step(place) > step:  # damaged, and passed over when this run went on: its steps are being done anew
            shutil.rmtree(place, ignore_errors=True)
    for place in _places(folder)[KEPT:]:
        shutil.rmtree(place, ignore_errors=True)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest whole state in `folder`, tensors on the CPU, or None where there is not one.

    "passed_over" in it are sentences about newer ones that are damaged.

    Raises:
        NoWholeCheckpointError: all of them are damaged.
        CheckpointError: one is of a later version, or may not be read.
    """
    passed_over: list[str] = []
    for place in _places(folder):
        try:
            return {"config": None, **_read(place), "passed_over": passed_over}
        except ChecksumError as error:
            passed_over.append(f"The checkpoint {place.name} is damaged: {error}.")
    if passed_over:
        raise NoWholeCheckpointError(" ".join(passed_over))
    return None


def newest_step(folder: Path) -> int | None:
    """The step of the newest checkpoint in `folder`, whole or not; None: there is not one."""
    return next((_step(place) for place in _places(folder)), None)


def clear_older(folder: Path) -> None:
    """Leaves the newest checkpoint only: the run is over, and its student is saved."""
    for place in _places(folder)[1:]:
        shutil.rmtree(place, ignore_errors=True)


def first_not_finite(tensors: Iterable[tuple[str, Tensor]]) -> str:
    """The name of the first tensor that has an infinite value or one that is no number; empty: none has.

    Waits for the device, once.
    """
    named = [(name, tensor.detach()) for name, tensor in tensors if tensor.is_floating_point() and tensor.numel()]
    if not named:
        return ""
    device = named[0][1].device
    # the least and the largest value, in which one that is no number shows: 20 times as fast as asking each
    odd = [torch.stack(torch.aminmax(tensor)).isfinite().logical_not().any().to(device) for _, tensor in named]
    return next((name for (name, _), is_odd in zip(named, torch.stack(odd).tolist(), strict=True) if is_odd), "")


def restore_parameters(student: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Puts `tensors` in the places of the student's parameters, whose sizes they may change.

    Raises:
        CheckpointError: the names do not agree.
    """
    names = {name for name, _ in student.named_parameters()}
    if names != set(tensors):
        odd = sorted(names ^ set(tensors))[0]
        raise CheckpointError(f"The checkpoint is of another kind of student: {odd} is in one of them only.")
    for name in names:
        owner, _, attribute = name.rpartition(".")
        setattr(student.get_submodule(owner), attribute, nn.Parameter(tensors[name]))


def restore_random_state(state: dict[str, Tensor]) -> None:
    """Puts the random generators back where `save_checkpoint` found them; those of other machines are left out."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


def _places(folder: Path) -> list[Path]:
    """The checkpoints' folders, newest first."""
    found = folder.iterdir() if folder.is_dir() else []
    return sorted((path for path in found if FOLDER.fullmatch(path.name) and path.is_dir()), reverse=True)


def _step(place: Path) -> int:
    return int(place.name.removeprefix("step-"))


def _read(place: Path) -> dict[str, Any]:
    """The state in one checkpoint's folder.

    Raises:
        ChecksumError: it is damaged, in words that go on from its name.
        CheckpointError: it is of a later version, or may not be read.
    """
    try:
        if not (place / FILE).is_file():
            raise ChecksumError(f"{FILE} is missing")
        check_files(place)
        state = torch.load(place / FILE, map_location="cpu", weights_only=True)
    except (ChecksumError, MemoryError):
        raise
    except PermissionError as error:
        raise CheckpointError(f"The checkpoint {place.name} may not be read by you; ask its owner.") from error
    except NewerFormatError as error:
        raise CheckpointError(f"{error}") from error
    except Exception as error:  # damaged bytes come out of the unpickler as errors of every kind
        raise ChecksumError(last_line(error).rstrip(".")) from error
    if not isinstance(state, dict) or any(name not in state for name in FIELDS) or state["step"] != _step(place):
        raise ChecksumError(f"{FILE} does not hold the state of step {_step(place):,}")
    try:
        refuse_newer(state.get("format"), FORMAT, f"The checkpoint {place.name}")
    except NewerFormatError as error:
        raise CheckpointError(f"{error}") from error
    if odd := first_not_finite(_tensors_in(state["student"], "")):  # as some were saved before November 2026
        raise ChecksumError(f"{odd} has values that are no numbers")
    return state


def _tensors_in(value: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    """Every tensor in nested dicts, lists and tuples, with where it is."""
    if isinstance(value, Tensor):
        yield name, value
    elif isinstance(value, dict):
        for key, below in value.items():
            yield from _tensors_in(below, f"{name}.{key}".strip("."))
    elif isinstance(value, list | tuple):
        for number, below in enumerate(value):
            yield from _tensors_in(below, f"{name}.{number}".strip("."))


def _random_state() -> dict[str, Tensor]:
    """The state of every random generator that training may draw from, by device."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state
