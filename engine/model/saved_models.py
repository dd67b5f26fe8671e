"""Models on disk: a folder with weights, tokenizer and card.

Every folder is complete or not there at all. The state of a run, from which training goes on, is another thing: see
engine/training/checkpoints.py; for a folder that the transformers library loads, engine/model/export.py.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.model.bert import Bert
from engine.settings.error_text import last_line
from engine.settings.transformers_import import tokenizer_in
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from engine.storage.atomic import whole_folder
from engine.storage.json_file import read_json_object

MOST_LAYERS = 1_000


class CheckpointError(ValueError):
    """A model or checkpoint that cannot be read or written, in one sentence."""


@dataclass(frozen=True)
class Model:
    """A model with what is needed to use it."""

    bert: Bert
    tokenizer: Any
    card: dict[str, Any]


def save_model(
    folder: Path, bert: Bert, tokenizer: Any, card: dict[str, Any], lineage: dict[str, torch.Tensor] | None = None
) -> None:
    """Writes `bert`, its tokenizer, its card and what it is made of into `folder`, replacing what was there."""
    with whole_folder(folder) as draft:
        save_tensors(bert, draft / "model.safetensors")
        if lineage:
            save_file(lineage, draft / "lineage.safetensors")
        tokenizer.save_pretrained(draft)
        (draft / "card.json").write_text(json.dumps({**card, "shape": bert.shape.to_json()}, indent=1))


def save_tensors(bert: Bert, path: Path) -> None:
    """Writes every tensor of `bert`, scales of int8 weights among them, as a safetensors file."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in bert.state_dict().items()}, path)


def load_model(folder: Path) -> Model:
    """The model that `save_model` wrote, in evaluation mode on the CPU.

    Raises:
        CheckpointError: the folder holds no model, or a damaged one.
    """
    for name in ("card.json", "model.safetensors", "tokenizer.json"):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder.name} holds no finished model: {name} is missing.")
    try:
        card = read_json_object(folder / "card.json")
        bert = Bert(_fitting_shape(card["shape"], folder / "model.safetensors"))
        tensors = load_file(folder / "model.safetensors")
        _check_kinds(bert, tensors)
        bert.load_state_dict(tensors)
        tokenizer = tokenizer_in(folder)
    except Exception as error:  # damaged bytes come out of three parsers as errors of every kind
        raise CheckpointError(f"The model in {folder.name} is damaged: {last_line(error)}") from error
    return Model(bert.eval(), tokenizer, card)


def _fitting_shape(said: dict[str, Any], weights: Path) -> Shape:
    """The shape that a card tells, if the file of `weights` has room for it: nothing is allocated on a card's word.

    Raises:
        ShapeError, CheckpointError: it is none, or larger than the file.
    """
    shape = Shape.from_json(said)
    count, room = parameters(shape), weights.stat().st_size  # a parameter takes a byte at least
    if count > room or shape.layers > MOST_LAYERS:
        raise CheckpointError(
            f"its card says {shape.layers:,} layers and {count:,} parameters, and its weights are {room:,} bytes"
        )
    return shape


def _check_kinds(bert: Bert, tensors: dict[str, torch.Tensor]) -> None:
    """Whole numbers stand where whole numbers belong: copying would turn one into the other without a word.

    Raises:
        CheckpointError: they do not.
    """
    for name, own in bert.state_dict().items():
        found = tensors.get(name)
        if found is not None and found.is_floating_point() != own.is_floating_point():
            raise CheckpointError(f"{name} should be {own.dtype}, and the file has {found.dtype}.")


def load_lineage(folder: Path) -> dict[str, torch.Tensor]:
    """What the student in `folder` is made of, as its method's `lineage` named it; empty if it did not tell.

    Raises:
        CheckpointError: the file is damaged.
    """
    path = folder / "lineage.safetensors"
    if not path.is_file():
        return {}
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"The lineage in {folder.name} is damaged: {last_line(error)}") from error
