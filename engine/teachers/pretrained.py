"""A BERT or ALBERT checkpoint in the format of transformers, out of a folder or from the Hugging Face Hub.

A card promises only what loads: whatever can be wrong with config, tensors and tokenizer is found before it is shown.
"""

from __future__ import annotations

import contextlib
import functools
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.settings.error_text import first_line
from engine.settings.reachable import reachable
from engine.sizing.shape import Shape
from engine.storage.allowed_folders import PathError, allowed_path, is_folder
from engine.teachers.checkpoint_files import (
    INDEX,
    TOKENIZER_FILES,
    WEIGHTS,
    PretrainedError,
    in_one_sentence,
    read_config,
    read_tensors,
    read_tokenizer,
    shown,
    vocabularies_differ,
    weight_files,
)
from engine.text.vocabulary import lowercases_cased_words

if TYPE_CHECKING:
    from engine.model.bert import Bert

CONFIG = "config.json"
HUB = "https://huggingface.co"
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}(/[A-Za-z0-9][\w.-]{0,95})?", re.ASCII)
FILES_READ = re.compile(r"\.(json|txt|model|safetensors|bin)$")
ASK_S = 10.0  # how long the Hub may take to answer a question


@dataclass(frozen=True)
class CheckpointOutline:
    """What a checkpoint is, told before it is loaded."""

    shape: Shape  # with a masked-LM head, whether or not the checkpoint has one
    has_head: bool
    about: dict[str, str]  # licence, data sets and the like, as far as the Hub says
    notes: tuple[str, ...] = ()  # what was chosen where the checkpoint says nothing or two things, a sentence each


def local_outline(path: str) -> CheckpointOutline:
    """What lies in the folder `path`; everything that could keep it from teaching has been looked for.

    Raises:
        PretrainedError: it is outside of the roots, or no BERT or ALBERT checkpoint with safe weights.
    """
    folder = local_folder(path)
    with in_one_sentence(folder.name):
        files = [(it.name, it.stat()) for it in folder.iterdir() if it.is_file()]
    state = tuple(sorted((name, found.st_size, found.st_mtime_ns) for name, found in files))
    return _outline(folder, state)


@functools.lru_cache(maxsize=16)  # a form asks at every touch, and the numbers of a gigabyte take a second to check
def _outline(folder: Path, state: tuple[tuple[str, int, int], ...]) -> CheckpointOutline:
    from engine.model.stored_tensors import rounding, stored_tensors
    from engine.model.transformers_format import check_finite, checked_shape, decoder_apart

    with in_one_sentence(folder.name):
        config, tensors = read_config(folder / CONFIG), read_tensors(folder)
        apart = decoder_apart(config, tensors)
        shape = checked_shape(config, stored_tensors(tensors), apart)
        check_finite(config, shape, tensors)
        rounded = rounding(config, stored_tensors(tensors))
        notes = _notes(config, folder, shape, read_tokenizer(folder, shape.vocab), apart, rounded)
    return CheckpointOutline(shape.replace(mlm_head=True), shape.mlm_head, {}, notes)


def _notes(
    config: dict[str, Any], folder: Path, shape: Shape, tokenizer: Any, apart: bool, rounded: str
) -> tuple[str, ...]:
    from engine.model.transformers_config import model_type, unrolled

    differ = vocabularies_differ(folder, tokenizer)
    said = {
        f"Its {CONFIG} names no model_type, without which transformers' Auto classes do not open it; read as "
        f"{model_type(shape)}, by the names of its tensors.": not config.get("model_type"),
        "Its vocabulary is cased, and its tokenizer lowercases all text, as nothing in tokenizer_config.json says "
        "otherwise.": lowercases_cased_words(tokenizer),
        "Its vocab.txt says something else than its tokenizer.json, which is read.": differ,
        f"Its numbers are rounded to {rounded}, as version 5 of transformers loads them.": bool(rounded),
        "Its decoder is stored apart from its word table, and stays so although its config ties them.": apart,
        "Its groups have several layers each; here every layer has a copy of its own.": unrolled(config),
    }
    return tuple(sentence for sentence, true in said.items() if true)


def local_folder(path: str) -> Path:
    """The real folder behind `path`, if it may be read."""
    try:
        folder = allowed_path(path)
    except PathError as error:
        raise PretrainedError(str(error)) from error
    if not is_folder(folder):
        raise PretrainedError(
            f"There is no folder {shown(folder.name)}; name one that holds config.json and {WEIGHTS}."
        )
    with in_one_sentence(folder.name):
        links = [file for file in folder.iterdir() if file.is_symlink()]
    for file in links:
        if FILES_READ.search(file.name):
            try:
                allowed_path(str(file))
            except PathError as error:
                raise PretrainedError(
                    f"{shown(file.name)} in {shown(folder.name)} is a link to a place that may not be read; put the "
                    "file itself there, or name its folder in HEIRLOOM_ROOTS."
                ) from error
    return folder


def local_config(path: str) -> dict[str, Any]:
    """The config.json in the folder `path`, or at it, if it may be read; nothing else has to lie there.

    Raises:
        PretrainedError: there is none that can be read.
    """
    try:
        place = allowed_path(path)
        file = place if place.name == CONFIG and place.is_file() else place / CONFIG
        allowed_path(str(file))  # which may be a link to elsewhere
    except PathError as error:
        raise PretrainedError(str(error)) from error
    if not file.parent.is_dir():
        raise PretrainedError(f"There is no folder {shown(path)}; name one that holds {CONFIG}.")
    return read_config(file)


def hub_config(id: str) -> dict[str, Any]:
    """The config.json of the Hub's model `id`, the only file that is asked for; without a network one fetched before.

    Raises:
        PretrainedError: it is not here and there is no network, or no such model.
    """
    from huggingface_hub import hf_hub_download, try_to_load_from_cache

    if HUB_ID.fullmatch(id) and not reachable(HUB) and isinstance(here := try_to_load_from_cache(id, CONFIG), str):
        return read_config(Path(here), id)
    _check_id(id)
    with _from_the_hub(id):
        return read_config(Path(hf_hub_download(id, CONFIG, etag_timeout=ASK_S)), id)


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
        wanted = [CONFIG, *(name for name in TOKENIZER_FILES if name in files)]
        paths = [hf_hub_download(id, name, revision=info.sha, etag_timeout=ASK_S) for name in wanted]
        weights = get_safetensors_metadata(id, revision=info.sha)
        with in_one_sentence(id):
            config = read_config(Path(paths[0]))
            shape = _shape_on_the_hub(config, weights)
            folder = Path(paths[0]).parent
            notes = _notes(config, folder, shape, read_tokenizer(folder, shape.vocab), apart=False, rounded="")
    stated = info.card_data.to_dict() if info.card_data else {}
    about = {key: ", ".join(value) if isinstance(value, list) else str(value) for key, value in stated.items() if value}
    about = {key: value[:300] for key, value in about.items()}
    return CheckpointOutline(shape.replace(mlm_head=True), shape.mlm_head, about, notes)


def _shape_on_the_hub(config: dict[str, Any], weights: Any) -> Shape:
    """The shape of a checkpoint whose tensors' names, sizes and dtypes alone are here, as the Hub tells them."""
    from engine.model.stored_tensors import StoredTensor
    from engine.model.transformers_format import checked_shape, shape_from_transformers

    files = getattr(weights, "files_metadata", {})
    stored = {
        name: StoredTensor(tuple(tensor.shape), str(tensor.dtype))
        for file in files.values()
        for name, tensor in file.tensors.items()
    }
    return checked_shape(config, stored) if stored else shape_from_transformers(config, set(weights.weight_map))


def hub_folder(id: str) -> Path:
    """The folder on this machine that holds the Hub's model `id`: what is here already, or fetched now.

    Raises:
        PretrainedError: it is not here and there is no network, or no such model.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    if not HUB_ID.fullmatch(id):
        _check_id(id)
    wanted = [CONFIG, WEIGHTS, INDEX, "model-*.safetensors", *TOKENIZER_FILES]
    with contextlib.suppress(LocalEntryNotFoundError, HfHubHTTPError, OSError):
        folder = Path(snapshot_download(id, allow_patterns=wanted, local_files_only=True))
        if (folder / CONFIG).is_file() and weight_files(folder):
            return folder
    _check_id(id)
    with _from_the_hub(id):
        return Path(snapshot_download(id, allow_patterns=wanted, etag_timeout=ASK_S))


def read_folder(folder: Path) -> tuple[Bert, Any]:
    """(model in float32, tokenizer) of the checkpoint in `folder`. A missing masked-LM head is new.

    Raises:
        PretrainedError: it is no BERT or ALBERT checkpoint with safe weights, or a damaged one.
    """
    from engine.model.new_head import with_mlm_head
    from engine.model.transformers_format import check_finite, from_transformers

    with in_one_sentence(folder.name):
        config, tensors = read_config(folder / CONFIG), read_tensors(folder)
        bert = from_transformers(config, tensors)
        check_finite(config, bert.shape, tensors)
        return with_mlm_head(bert), read_tokenizer(folder, bert.shape.vocab)


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
        raise PretrainedError(f"{shown(id)} cannot be had from the Hub: {first_line(error)[:120]}") from error
