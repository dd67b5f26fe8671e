"""A BERT or ALBERT checkpoint in the format of transformers, out of a folder or from the Hugging Face Hub.

Only config, safetensors and the tokenizer's own files are read: other weight formats can run code when they are loaded.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.settings.error_text import first_line
from engine.settings.reachable import reachable
from engine.sizing.shape import Shape, ShapeError
from engine.storage.allowed_folders import PathError, allowed_path
from engine.text.vocabulary import VocabularyError, check_vocabulary

if TYPE_CHECKING:
    from engine.model.bert import Bert

HUB = "https://huggingface.co"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
VOCABULARIES = ("tokenizer.json", "vocab.txt", "spiece.model")
TOKENIZER_FILES = (*VOCABULARIES, "tokenizer_config.json", "special_tokens_map.json")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
ASK_S = 10.0  # how long the Hub may take to answer a question


class PretrainedError(ValueError):
    """A checkpoint that cannot be used, in one sentence."""


@dataclass(frozen=True)
class CheckpointOutline:
    """What a checkpoint is, told without reading its weights."""

    shape: Shape  # with a masked-LM head, whether or not the checkpoint has one
    has_head: bool
    about: dict[str, str]  # licence, data sets and the like, as far as the Hub says


def local_outline(path: str) -> CheckpointOutline:
    """What lies in the folder `path`.

    Raises:
        PretrainedError: it is outside of the roots, or no BERT or ALBERT checkpoint with safe weights.
    """
    from safetensors import SafetensorError, safe_open

    folder, names = local_folder(path), set()
    try:
        for file in _weight_files(folder):
            with safe_open(file, "numpy") as tensors:
                names |= set(tensors.keys())
    except (OSError, SafetensorError) as error:
        raise PretrainedError(f"The weights in {folder.name} are damaged: {first_line(error)}") from error
    return CheckpointOutline(*_shape(_config(folder / "config.json"), names), {})


def local_folder(path: str) -> Path:
    """The real folder behind `path`, if it may be read."""
    try:
        folder = allowed_path(path)
    except PathError as error:
        raise PretrainedError(str(error)) from error
    if not folder.is_dir():
        raise PretrainedError(f"There is no folder {folder}; name one that holds config.json and {WEIGHTS}.")
    return folder


def hub_outline(id: str) -> CheckpointOutline:
    """What the Hub's model `id` is; asks for its config and the head of its weights' file only.

    Raises:
        PretrainedError: there is no network, or no such model, or it cannot be used.
    """
    from huggingface_hub import HfApi, get_safetensors_metadata, hf_hub_download

    _check_id(id)
    with _from_the_hub(id):
        info = HfApi().model_info(id, timeout=ASK_S)
        files = {sibling.rfilename for sibling in info.siblings or []}
        if not {WEIGHTS, INDEX} & files:
            raise PretrainedError(
                f"{id} has no {WEIGHTS}, and weights of other formats can run code when they are read."
            )
        config = _config(Path(hf_hub_download(id, "config.json", revision=info.sha, etag_timeout=ASK_S)))
        names = set(get_safetensors_metadata(id, revision=info.sha).weight_map)
    stated = info.card_data.to_dict() if info.card_data else {}
    about = {key: ", ".join(value) if isinstance(value, list) else str(value) for key, value in stated.items() if value}
    return CheckpointOutline(*_shape(config, names), {key: value[:300] for key, value in about.items()})


def hub_folder(id: str) -> Path:
    """The folder on this machine that holds the Hub's model `id`: what is here already, or fetched now.

    Raises:
        PretrainedError: it is not here and there is no network, or no such model.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if not HUB_ID.fullmatch(id):
        _check_id(id)
    wanted = ["config.json", WEIGHTS, INDEX, "model-*.safetensors", *TOKENIZER_FILES]
    with contextlib.suppress(LocalEntryNotFoundError, HfHubHTTPError, OSError):
        folder = Path(snapshot_download(id, allow_patterns=wanted, local_files_only=True))
        if (folder / "config.json").is_file() and _weight_files(folder):
            return folder
    _check_id(id)
    with _from_the_hub(id):
        return Path(snapshot_download(id, allow_patterns=wanted, etag_timeout=ASK_S))


def read_folder(folder: Path) -> tuple[Bert, Any]:
    """(model in float32, tokenizer) of the checkpoint in `folder`. A missing masked-LM head is new.

    Raises:
        PretrainedError: it is no BERT or ALBERT checkpoint with safe weights, or a damaged one.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file
    from transformers import AutoTokenizer

    from engine.model.new_head import with_mlm_head
    from engine.model.transformers_format import from_transformers

    tensors: dict[str, Any] = {}
    try:
        for file in _weight_files(folder):
            tensors |= load_file(file)
        bert = from_transformers(_config(folder / "config.json"), tensors)
    except (OSError, SafetensorError, ShapeError) as error:
        raise PretrainedError(f"The checkpoint in {folder.name} cannot be read: {first_line(error)}") from error
    if not any((folder / name).is_file() for name in VOCABULARIES):
        raise PretrainedError(f"{folder.name} holds no tokenizer; it needs {' or '.join(VOCABULARIES)}.")
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:  # damaged bytes come out of its parsers as errors of every kind
        raise PretrainedError(f"The tokenizer in {folder.name} cannot be read: {first_line(error)}") from error
    special = ("pad_token_id", "unk_token_id", "cls_token_id", "sep_token_id", "mask_token_id")
    if not hasattr(tokenizer, "backend_tokenizer") or any(getattr(tokenizer, name) is None for name in special):
        raise PretrainedError(f"The tokenizer in {folder.name} lacks [MASK] or another of BERT's special tokens.")
    try:
        check_vocabulary(tokenizer, bert.shape.vocab)
    except VocabularyError as error:
        raise PretrainedError(str(error)) from error
    return with_mlm_head(bert), tokenizer


def _shape(config: dict[str, Any], names: set[str]) -> tuple[Shape, bool]:
    from engine.model.transformers_format import shape_from_transformers

    try:
        shape = shape_from_transformers(config, names)
        return shape.replace(mlm_head=True), shape.mlm_head
    except (ShapeError, TypeError) as error:
        raise PretrainedError(f"This checkpoint cannot be used: {first_line(error)}") from error


def _config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError) as error:
        raise PretrainedError(f"{path.parent.name} has no readable config.json ({type(error).__name__}).") from error
    if not isinstance(config, dict):
        raise PretrainedError(
            f"The config.json of {path.parent.name} should be an object, got {type(config).__name__}."
        )
    return config


def _weight_files(folder: Path) -> list[Path]:
    """The safetensors files of a checkpoint, which may be cut into several; all lie in `folder` itself."""
    if (folder / WEIGHTS).is_file():
        return [folder / WEIGHTS]
    if (folder / INDEX).is_file():
        parts = _config(folder / INDEX).get("weight_map", {})
        names = sorted({str(name) for name in parts.values()}) if isinstance(parts, dict) else []
        if names and all(Path(name).name == name and name.endswith(".safetensors") for name in names):
            return [folder / name for name in names]
    raise PretrainedError(
        f"{folder.name} holds no {WEIGHTS}, and weights of other formats can run code when they are read."
    )


def _check_id(id: str) -> None:
    if not HUB_ID.fullmatch(id) or ".." in id:
        raise PretrainedError(f"A model of the Hub is named hub:OWNER/NAME, got {id[:80]!r}.")
    if not reachable(HUB):
        raise PretrainedError(f"There is no network to fetch {id} through; choose minilm, or a folder as local:PATH.")


@contextlib.contextmanager
def _from_the_hub(id: str) -> Iterator[None]:
    """Turns what the Hub's library says into a sentence."""
    try:
        yield
    except PretrainedError:
        raise
    except Exception as error:  # the network's, the Hub's and a parser's, of every kind
        raise PretrainedError(f"{id} cannot be had from the Hub: {first_line(error)[:200]}") from error
