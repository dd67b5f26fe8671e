"""An adapter as a small file: what the method `adapt` learned, thin matrices and a masked-LM head, kept and put back.

Adding it to the weights of the published encoder gives the adapted teacher, so that only megabytes have to be shipped.
Matrices are kept in int8 with a float32 scale a row, so that twice the rank fits; vectors in float32.
"""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.model.bert import Bert
from engine.model.new_head import with_mlm_head
from engine.settings.error_text import disk_reason

FILE = "adapter.safetensors"
PREFIX = "adapter."  # of its tensors among what a run's student is made of
SCALE = ".scale"  # behind the name of a matrix: what each row of int8 is multiplied by


class AdapterError(ValueError):
    """An adapter that does not fit or cannot be read, in one sentence."""


def write_adapter(folder: Path, lineage: dict[str, Tensor]) -> int:
    """Writes the adapter among a run's `lineage` into `folder`; its size in bytes.

    Raises:
        AdapterError: the run was no adaptation, or `folder` is not empty.
    """
    learned = adapter_tensors(lineage)
    refuse_overwriting(folder)
    folder.mkdir(parents=True, exist_ok=True)
    small: dict[str, Tensor] = {}
    for name, tensor in learned.items():
        small[name] = tensor.float()
        if tensor.ndim > 1:
            small[name + SCALE] = scale = (small[name].abs().amax(1) / 127).clamp(min=1e-12)
            small[name] = (small[name] / scale[:, None]).round().to(torch.int8)
    save_file(small, folder / FILE)
    return (folder / FILE).stat().st_size


def refuse_overwriting(folder: Path) -> None:
    """Raises AdapterError if `folder` is not empty, or cannot be looked into."""
    try:
        used = folder.is_dir() and any(folder.iterdir())
    except OSError as error:
        raise AdapterError(f"{folder} cannot be looked into ({disk_reason(error)}); name another folder.") from error
    if used:
        raise AdapterError(f"{folder} is not empty, and nothing is overwritten; name a new folder.")


def adapter_tensors(lineage: dict[str, Tensor]) -> dict[str, Tensor]:
    """The adapter among a run's `lineage`, by our parameters' names: "up" and "down" are thin matrices beside a weight.

    Raises:
        AdapterError: the run was no adaptation.
    """
    learned = {name.removeprefix(PREFIX): tensor for name, tensor in lineage.items() if name.startswith(PREFIX)}
    if not learned:
        raise AdapterError("This run was no adaptation, so it has no adapter; train one with --method adapt.")
    return learned


def add_adapter(original: Bert, folder: Path) -> Bert:
    """`original` with the adapter in `folder` added to its weights, in float32.

    Raises:
        AdapterError: it is damaged, or belongs to another model.
    """
    learned = read_adapter(folder)
    bert = Bert(original.shape.replace(mlm_head=True))
    bert.load_state_dict(with_mlm_head(original).state_dict())
    parameters = dict(bert.named_parameters())
    with torch.no_grad():
        for name, tensor in learned.items():
            owner, _, part = name.rpartition(".")
            target = parameters.get(name)
            if target is None and part in ("up", "down"):
                if part == "down":
                    continue  # its partner adds both
                target, down = parameters.get(f"{owner}.weight"), learned.get(f"{owner}.down")
                fits = target is not None and down is not None and target.shape == (len(tensor), down.shape[-1])
                if fits and target is not None and down is not None and tensor.shape[1] == len(down):
                    target.add_(tensor @ down)
                    continue
                target = None
            if target is None or target.shape != tensor.shape:
                raise AdapterError(f"The adapter in {folder.name} belongs to another model: {name} has no place here.")
            target.copy_(tensor)
    return bert


def read_adapter(folder: Path) -> dict[str, Tensor]:
    """The adapter in `folder` in float32, by names as `adapter_tensors` has them.

    Raises:
        AdapterError: it is missing or damaged.
    """
    try:
        return _dequantised(load_file(folder / FILE))
    except (OSError, SafetensorError) as error:
        raise AdapterError(f"The adapter in {folder.name} is missing or damaged: {str(error)[:120]}") from error


def _dequantised(small: dict[str, Tensor]) -> dict[str, Tensor]:
    """What a file holds as float32; a matrix without scales is one of floats."""
    scales = {name: tensor for name, tensor in small.items() if name.endswith(SCALE)}
    found = {name: tensor.float() for name, tensor in small.items() if name not in scales}
    for name, scale in scales.items():
        matrix = found.get(name.removesuffix(SCALE))
        if matrix is not None and scale.shape == matrix.shape[:1]:  # others find no place in the model, and say so
            matrix.mul_(scale.float()[:, None])
        else:
            found[name] = scale
    return found
