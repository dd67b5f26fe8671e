"""A model as a folder for the transformers library: its files, tokenizer and model card, and the same on the Hub.

Every model can be exported: what the library has no class for is written out in full (engine/model/expansion.py), and
the compact model is put beside it.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError
from safetensors.torch import save_file
from torch import Tensor

from engine.model.bert import Bert
from engine.model.expansion import expand, expand_classifier, expansion_note
from engine.model.exported_card import Provenance, model_card, without_paths
from engine.model.onnx_graph import OPSET, import_onnx, write_onnx
from engine.model.saved_models import CheckpointError, Model, save_model
from engine.model.transformers_format import classifier_to_transformers, model_type, to_transformers
from engine.settings.error_text import disk_reason
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from engine.storage.atomic import whole_folder
from engine.storage.checksums import write_checksums
from engine.storage.json_file import read_json_object

DEQUANTISED = "Its weights were int8; for transformers they are the same values in float32, four times the bytes{}."
KEEPS_BYTES = " (--onnx writes a file that keeps them int8)"
ONNX_FILE = "model.onnx"
MOST_TOKENIZER = 256_000_000  # bytes of tokenizer.json
COMPACT = "compact"  # the folder, inside an export, of the model in our own format
TOKENIZER_FIELDS = (  # what says how texts are cut; all else says how or where this tokenizer was once loaded
    "added_tokens_decoder", "additional_special_tokens", "backend", "bos_token", "chat_template",
    "clean_up_tokenization_spaces", "cls_token", "do_basic_tokenize", "do_lower_case", "eos_token",
    "extra_special_tokens", "keep_accents", "mask_token", "never_split", "pad_token", "padding_side", "remove_space",
    "sep_token", "sp_model_kwargs", "split_special_tokens", "strip_accents", "tokenize_chinese_chars",
    "tokenizer_class", "truncation_side", "unk_token", "wordpieces_prefix",
)  # fmt: skip
# transformers 5 calls a tokenizer without a class of its own so; 4 knows the older name only, and 5 still takes it
GENERIC_TOKENIZER = {"TokenizersBackend": "PreTrainedTokenizerFast"}


@dataclass(frozen=True)
class Exported:
    """What an export wrote. `notes`: what became of the model on the way, a sentence each."""

    folder: Path
    architecture: str  # the library's class
    notes: tuple[str, ...]
    onnx: str = ""  # what is said of the ONNX file, if there is one


def export_model(
    model: Model,
    folder: Path,
    lineage: dict[str, Tensor] | None = None,
    provenance: Provenance | None = None,
    onnx: bool = False,
) -> Exported:
    """Writes `model` as the library's files, with its tokenizer and a model card in README.md.

    `lineage`: as load_lineage; a classifier in it is exported with the model, which is then one for texts.
    `provenance`: whence it comes, for the card; without, what the model's own card says.
    Where the library has no class for the shape, or weights are int8, the model as it is lies in `folder`/compact.
    `onnx`: writes it as model.onnx, too, as it was trained: with its factors, its shared layers once, its int8 bytes.

    Raises:
        CheckpointError: `folder` is a file, or not empty; an export never overwrites. Or ONNX's package is missing.
    """
    refuse_used_folder(folder)
    if onnx:
        import_onnx()
    shape = model.bert.shape
    note = expansion_note(shape)
    full = expand(model.bert) if note else model.bert
    config, tensors = to_transformers(full)
    config["architectures"], tensors = _with_pair_head(full.shape, config["architectures"], tensors)
    classifier = {name: it for name, it in (lineage or {}).items() if name.startswith("classifier.")}
    if classifier:
        more, named = classifier_to_transformers(
            full.shape, expand_classifier(classifier, full.shape.hidden), model.card["classes"]
        )
        config, tensors = config | more, tensors | named
    architecture = config["architectures"][0]
    small = 8 in (shape.linear_bits, shape.table_bits)
    notes = tuple(words for words in (note, DEQUANTISED.format("" if onnx else KEEPS_BYTES) if small else "") if words)
    classes = len(model.card["classes"]) if classifier else 0
    with new_folder(folder) as draft:
        (draft / "config.json").write_text(json.dumps(config, indent=1))
        save_file({name: t.contiguous() for name, t in tensors.items()}, draft / "model.safetensors", {"format": "pt"})
        write_tokenizer(model.tokenizer, draft, full.shape)
        said = _write_onnx(model.bert, draft, full.shape, architecture, classifier) if onnx else ""
        card = model_card(model.card, shape, full.shape, architecture, notes, classes, provenance, said)
        (draft / "README.md").write_text(card, encoding="utf-8")
        if notes:
            save_model(draft / COMPACT, model.bert, model.tokenizer, without_paths(model.card), lineage)
            write_tokenizer(model.tokenizer, draft / COMPACT, shape)
            write_checksums(draft / COMPACT)  # the tokenizer is another one now
    return Exported(folder, architecture, notes, said)


def _write_onnx(bert: Bert, folder: Path, full: Shape, architecture: str, classifier: dict[str, Tensor]) -> str:
    """`bert` in `folder` as ONNX, with the inputs and outputs of the class of shape `full`; what to say."""
    inputs = model_inputs(full)
    outputs = write_onnx(bert, folder / ONNX_FILE, inputs, architecture, classifier, full.hidden // bert.shape.hidden)
    size = sum(path.stat().st_size for path in folder.glob(f"{ONNX_FILE}*"))
    said = f"{ONNX_FILE} (opset {OPSET}) takes {_listed(inputs)}, gives {_listed(outputs)}, "
    shape = bert.shape
    if 8 not in (shape.linear_bits, shape.table_bits):
        return said + f"and has {size:,} bytes."
    floats = 4 * (parameters(shape) + sum(tensor.numel() for tensor in classifier.values()))
    return said + (
        f"and keeps its int8 weights: {size:,} bytes, {size / floats:.0%} of the {floats:,} of float32. It rounds "
        "inputs of linears as the student does, so logits are the same but where a rounding falls on the other side."
    )


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), words[-1]]))


def refuse_used_folder(folder: Path) -> None:
    """An export overwrites nothing.

    Raises:
        CheckpointError: `folder` is a file, or not empty.
    """
    try:
        used = folder.is_dir() and any(folder.iterdir())
    except OSError as error:
        raise CheckpointError(f"{folder} cannot be looked into ({disk_reason(error)}); name another folder.") from error
    if os.path.lexists(folder) and not folder.is_dir():
        raise CheckpointError(f"{folder} is a file, and an export is a folder; name a new one.")
    if used:
        raise CheckpointError(f"{folder} is not empty, and an export overwrites nothing; name a new folder.")


@contextmanager
def new_folder(folder: Path) -> Iterator[Path]:
    """A draft that becomes the new `folder`, whole or not at all.

    Raises:
        CheckpointError: the disk refuses: it is full, or nothing may be written there.
    """
    refuse_used_folder(folder)
    try:
        with whole_folder(folder) as draft:
            yield draft
    except (OSError, SafetensorError) as error:  # the latter, too, where a write fails
        why = disk_reason(error)[:120]
        raise CheckpointError(
            f"{folder} cannot be written ({why}); make room there, or name another folder."
        ) from error


def write_tokenizer(tokenizer: Any, folder: Path, shape: Shape) -> None:
    """Writes `tokenizer` for a model of `shape`: it cuts texts at the model's positions and gives its inputs.

    What else it was told when it was loaded, paths and flags among it, stays behind, and so do the truncation and the
    padding of its last call.
    """
    tokenizer.save_pretrained(folder)
    path = folder / "tokenizer_config.json"
    fields = {name: value for name, value in read_json_object(path).items() if name in TOKENIZER_FIELDS}
    if "tokenizer_class" in fields:
        fields["tokenizer_class"] = GENERIC_TOKENIZER.get(fields["tokenizer_class"], fields["tokenizer_class"])
    if isinstance(fields.get("extra_special_tokens"), list):  # so transformers 5; 4 wants a mapping under that name
        fields["additional_special_tokens"] = fields.pop("extra_special_tokens")
    fields |= {"model_max_length": shape.positions, "model_input_names": model_inputs(shape)}
    path.write_text(json.dumps(fields, indent=2, sort_keys=True, ensure_ascii=False) + "\n", encoding="utf-8")
    rules = folder / "tokenizer.json"
    if rules.is_file():
        state = read_json_object(rules, MOST_TOKENIZER) | {"truncation": None, "padding": None}
        rules.write_text(json.dumps(state, indent=2, ensure_ascii=False), encoding="utf-8")


def model_inputs(shape: Shape) -> list[str]:
    """What a tokenizer gives to a model of `shape`: one row of token types has no place for a pair's second text."""
    return ["input_ids", *(["token_type_ids"] if shape.token_types > 1 else []), "attention_mask"]


def _with_pair_head(
    shape: Shape, architectures: list[str], tensors: dict[str, Tensor]
) -> tuple[list[str], dict[str, Tensor]]:
    """The library's class with a head for sentence pairs, if `shape` has one, and the tensors as it names them."""
    if not shape.pair_head:
        return architectures, tensors
    family = {"bert": "Bert", "albert": "Albert"}[model_type(shape)]
    if shape.mlm_head:
        return [f"{family}ForPreTraining"], tensors
    if family == "Bert":
        return ["BertForNextSentencePrediction"], tensors
    # ALBERT's class for sentence order insists on a masked-LM head; the one for texts computes the same
    named = {name.replace("sop_classifier.classifier.", "classifier."): tensor for name, tensor in tensors.items()}
    return ["AlbertForSequenceClassification"], named
