"""Models on disk: a folder with weights, tokenizer and card.

Every folder is complete or not there at all. The state of a run, from which training goes on, is another thing: see
engine/training/checkpoints.py; for a folder that the transformers library loads, engine/model/export.py.
"""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
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
from engine.storage import checksums
from engine.storage.atomic import whole_folder
from engine.storage.checksums import ChecksumError, NewerFormatError
from engine.storage.disk_space import told_when_full
from engine.storage.json_file import read_json_object
from engine.storage.runs import CARD_FORMAT

WEIGHTS, LINEAGE = "model.safetensors", "lineage.safetensors"
MADE_AGAIN = "; its run has a checkpoint, which makes it anew: python -m engine train --resume {run}"
ADVICE = "free some space and resume: what is there is as it was"

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
    """Writes `bert`, its tokenizer, its card and what it is made of into `folder`, replacing what was there.

    Raises:
        DiskFullError: they do not fit on the disk; `folder` is as it was.
    """
    tensors = [*bert.state_dict().values(), *(lineage or {}).values()]
    needed = sum(tensor.numel() * tensor.element_size() for tensor in tensors)
    with told_when_full(folder.parent, needed, f"The model in {folder.name}", ADVICE), whole_folder(folder) as draft:
        save_tensors(bert, draft / WEIGHTS)
        if lineage:
            save_file(lineage, draft / LINEAGE)
        tokenizer.save_pretrained(draft)
        card = {**card, "shape": bert.shape.to_json()}
        card = checksums.sealed(card) if checksums.SEAL in card else card
        (draft / "card.json").write_text(json.dumps(card, indent=1))
        checksums.write_checksums(draft)


def save_tensors(bert: Bert, path: Path) -> None:
    """Writes every tensor of `bert`, scales of int8 weights among them, as a safetensors file."""
    save_file({name: tensor.detach().cpu().contiguous() for name, tensor in bert.state_dict().items()}, path)


def load_model(folder: Path) -> Model:
    """The model that `save_model` wrote, in evaluation mode on the CPU.

    Raises:
        CheckpointError: the folder holds no model, a damaged one, or one of a later version.
    """
    for name in ("card.json", WEIGHTS, "tokenizer.json"):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder.name} holds no finished model: {name} is missing{_how_again(folder)}.")
    try:
        _check_small_files(folder)
        card = read_json_object(folder / "card.json")
        checksums.refuse_newer(card.get("format"), CARD_FORMAT, f"The card in {folder.name}")
        with ThreadPoolExecutor(1) as pool:
            checking = pool.submit(checksums.check_files, folder, [WEIGHTS])  # meanwhile: it takes about as long
            bert = Bert(_fitting_shape(card["shape"], folder / WEIGHTS))
            tensors = load_file(folder / WEIGHTS)
            _check_kinds(bert, tensors)
            bert.load_state_dict(tensors)
            tokenizer = tokenizer_in(folder)
            checking.result()  # last: what the parsers say is plainer
    except NewerFormatError as error:
        raise CheckpointError(str(error)) from error
    except Exception as error:  # damaged bytes come out of three parsers as errors of every kind
        said = last_line(error).rstrip(".")
        raise CheckpointError(f"The model in {folder.name} is damaged: {said}{_how_again(folder)}.") from error
    return Model(bert.eval(), tokenizer, card)


def _check_small_files(folder: Path) -> None:
    """Compares all but the tensors, which have their turn, with their checksums. Raises ChecksumError."""
    listed = checksums.listed_files(folder)
    tensors = [name for name in listed if name.endswith(".safetensors") and (folder / name).is_file()]
    checksums.check_files(folder, [name for name in listed if name not in tensors])


def _how_again(folder: Path) -> str:
    """How a run's damaged student is made anew, as the end of a sentence; empty for a folder that no run made."""
    run = folder.absolute().parent
    found = run.name if any((run / "checkpoints").glob("step-*")) else ""
    return MADE_AGAIN.format(run=found) if found else ""


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
    path = folder / LINEAGE
    if not path.is_file():
        return {}
    try:
        tensors = load_file(path)
        checksums.check_files(folder, [LINEAGE])
        return tensors
    except (OSError, SafetensorError, ChecksumError, NewerFormatError) as error:
        said = last_line(error).rstrip(".")
        raise CheckpointError(f"The lineage in {folder.name} is damaged: {said}{_how_again(folder)}.") from error
