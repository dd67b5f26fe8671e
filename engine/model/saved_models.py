"""Models on disk: a folder with weights, tokenizer and card, and the same exported for the transformers library.

Every folder is complete or not there at all. The state of a run, from which training goes on, is another thing: see
engine/training/checkpoints.py.
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
from engine.model.transformers_format import classifier_to_transformers, to_transformers
from engine.settings.error_text import last_line
from engine.settings.transformers_import import tokenizer_in
from engine.sizing.shape import Shape
from engine.storage.atomic import whole_folder

DEQUANTISED = "Its weights were int8; here they are the same values in float32, four times the bytes."
EXPORTED_HEADS = {  # kind of model -> its pipeline tag, and what its parameters are counted with
    "ForMaskedLM": ("fill-mask", "with the masked-LM head"),
    "ForSequenceClassification": ("text-classification", "without its classifier"),
}


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
        card = json.loads((folder / "card.json").read_text())
        bert = Bert(Shape.from_json(card["shape"]))
        tensors = load_file(folder / "model.safetensors")
        _check_kinds(bert, tensors)
        bert.load_state_dict(tensors)
        tokenizer = tokenizer_in(folder)
    except Exception as error:  # damaged bytes come out of three parsers as errors of every kind
        raise CheckpointError(f"The model in {folder.name} is damaged: {last_line(error)}") from error
    return Model(bert.eval(), tokenizer, card)


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


def export_model(model: Model, folder: Path, lineage: dict[str, torch.Tensor] | None = None) -> None:
    """Writes `model` as the library's files, with its tokenizer and a model card in README.md.

    `lineage`: as load_lineage; a classifier in it is exported with the model, which is then one for texts.

    Raises:
        ShapeError: the library's classes cannot express the shape.
        CheckpointError: `folder` exists and is not empty; an export never overwrites.
    """
    config, tensors = to_transformers(model.bert)
    if classifier := {name: it for name, it in (lineage or {}).items() if name.startswith("classifier.")}:
        more, named = classifier_to_transformers(model.bert.shape, classifier, model.card["classes"])
        config, tensors = config | more, tensors | named
    if folder.exists() and any(folder.iterdir()):
        raise CheckpointError(f"{folder} is not empty, and an export overwrites nothing; name a new folder.")
    with whole_folder(folder) as draft:
        (draft / "config.json").write_text(json.dumps(config, indent=1))
        save_file({name: t.contiguous() for name, t in tensors.items()}, draft / "model.safetensors", {"format": "pt"})
        model.tokenizer.save_pretrained(draft)
        (draft / "README.md").write_text(_readme(model, config["architectures"][0]))


def _readme(model: Model, architecture: str) -> str:
    card, shape = model.card, model.bert.shape
    scores = "\n".join(f"| {name} | {value:.4f} |" for name, value in card.get("scores", {}).items())
    recipe = json.dumps(
        {key: card.get(key) for key in ("teacher", "method", "options", "corpus", "steps", "seed")}, indent=1
    )
    kind = next((kind for kind in EXPORTED_HEADS if architecture.endswith(kind)), "Model")
    counted = f"{card.get('parameters', 0):,} parameters {EXPORTED_HEADS.get(kind, ('', 'without a head'))[1]}"
    decoder = "" if shape.tied else ", its decoder not tied to its embeddings"
    task = f"pipeline_tag: {EXPORTED_HEADS[kind][0]}\n" if kind in EXPORTED_HEADS else ""
    small = 8 in (shape.linear_bits, shape.table_bits)
    note = f"\n{DEQUANTISED} Inputs of linears are no longer rounded, so logits differ a little.\n" if small else ""
    return f"""---
library_name: transformers
{task}---

# {card.get("id", "A student")}

A BERT of {shape}, made by Heirloom from the teacher `{card.get("teacher")}` with the method `{card.get("method")}`.
{counted}{decoder}.
{note}
```python
from transformers import AutoModel{kind.removeprefix("Model")}, AutoTokenizer
model = AutoModel{kind.removeprefix("Model")}.from_pretrained("this/folder")
tokenizer = AutoTokenizer.from_pretrained("this/folder")
```

## Scores on held-out text

| what | value |
|---|---|
{scores}

## Recipe

```json
{recipe}
```
"""
