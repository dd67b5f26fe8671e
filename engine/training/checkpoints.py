"""The state of a run on disk, from which it goes on as if nothing had been."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.model.saved_models import CheckpointError
from engine.settings.error_text import last_line
from engine.storage.atomic import whole_folder


def save_checkpoint(folder: Path, step: int, student: nn.Module, optimizer: Any, extra: dict[str, Any]) -> None:
    """Writes the state after `step` into `folder`; older checkpoints there go once this one is safe."""
    with whole_folder(folder / f"step-{step:09d}") as draft:
        state = {
            "step": step,
            "student": {name: p.detach().cpu() for name, p in student.named_parameters()},
            "optimizer": optimizer.state_dict(),
            "random": _random_state(),
            "extra": extra,
        }
        torch.save(state, draft / "state.pt")
    for older in sorted(folder.glob("step-*"))[:-1]:
        shutil.rmtree(older, ignore_errors=True)


def load_checkpoint(folder: Path) -> dict[str, Any] | None:
    """The newest state in `folder`, tensors on the CPU, or None.

    Raises:
        CheckpointError: it is damaged.
    """
    states = sorted(folder.glob("step-*/state.pt")) if folder.exists() else []
    if not states:
        return None
    try:
        return torch.load(states[-1], map_location="cpu", weights_only=True)
    except Exception as error:
        raise CheckpointError(f"The checkpoint {states[-1].parent.name} is damaged: {last_line(error)}") from error


def restore_parameters(student: nn.Module, tensors: dict[str, torch.Tensor]) -> None:
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


def _random_state() -> dict[str, torch.Tensor]:
    """The state of every random generator that training may draw from, by device."""
    state = {"cpu": torch.get_rng_state()}
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def restore_random_state(state: dict[str, torch.Tensor]) -> None:
    """Puts the random generators back where `save_checkpoint` found them; those of other machines are left out."""
    torch.set_rng_state(state["cpu"])
    if "cuda" in state and torch.cuda.is_available():
        torch.cuda.set_rng_state(state["cuda"])
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])
