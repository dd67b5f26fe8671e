"""The files of a checkpoint folder in the library's format: config, weights and tokenizer, each read without code.

Weights are safetensors, or the library's older pickles of tensors, which torch reads with everything but tensors
refused.
"""

from __future__ import annotations

import contextlib
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.settings.error_text import first_line
from engine.settings.transformers_import import tokenizer_in
from engine.sizing.shape import ShapeError
from engine.storage.json_file import JsonFileError, open_regular, read_json_object
from engine.text.vocabulary import VocabularyError, check_vocabulary

if TYPE_CHECKING:
    from torch import Tensor

VOCABULARIES = ("tokenizer.json", "vocab.txt", "spiece.model")
TOKENIZER_FILES = (*VOCABULARIES, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
SPECIAL = ("pad_token_id", "unk_token_id", "cls_token_id", "sep_token_id", "mask_token_id")
LONGEST_HEADER = 8_000_000  # bytes of a safetensors file's list of tensors, of which each takes about a hundred
LONGEST_SENTENCE, LONGEST_NAME = 199, 40  # letters


class PretrainedError(ValueError):
    """A checkpoint that cannot be used, in one sentence."""


@contextlib.contextmanager
def in_one_sentence(name: str) -> Iterator[None]:
    """Turns what is wrong with the checkpoint called `name` into one short PretrainedError."""
    from safetensors import SafetensorError

    try:
        yield
    except (OSError, SafetensorError, ShapeError, VocabularyError, PretrainedError) as error:
        text = first_line(error)
        if isinstance(error, OSError | SafetensorError):
            text = f"its weights are damaged or missing: {text}"
        if not isinstance(error, PretrainedError):
            before = f"The checkpoint {shown(name)} cannot be used: "
            text = before + text if len(before + text) <= LONGEST_SENTENCE else text[:1].upper() + text[1:]
        if len(text) > LONGEST_SENTENCE:
            text = f"{text[: LONGEST_SENTENCE - 1]}…"
        raise PretrainedError(text) from error


def shown(name: str) -> str:
    """A folder's or model's name, short enough for a sentence."""
    return name if len(name) <= LONGEST_NAME else f"{name[: LONGEST_NAME - 1]}…"


def read_config(path: Path) -> dict[str, Any]:
    """The JSON object in the file `path`.

    Raises:
        PretrainedError: there is none.
    """
    folder = shown(path.parent.name)
    try:
        return read_json_object(path)
    except JsonFileError as error:
        raise PretrainedError(f"The {path.name} of {folder} {error}.") from error
    except OSError as error:
        raise PretrainedError(f"{folder} has no readable {path.name} ({type(error).__name__}).") from error


def weight_files(folder: Path) -> list[Path]:
    """The files with a checkpoint's weights, which may be cut into several; all lie in `folder` itself.

    Raises:
        PretrainedError: there are none.
    """
    for whole, index in ((WEIGHTS, INDEX), (PICKLE, PICKLE_INDEX)):
        if (folder / whole).is_file():
            return [folder / whole]
        if (folder / index).is_file():
            parts, suffix = read_config(folder / index).get("weight_map", {}), Path(whole).suffix
            names = sorted({str(name) for name in parts.values()}) if isinstance(parts, dict) else []
            if names and all(Path(name).name == name and name.endswith(suffix) for name in names):
                return [folder / name for name in names]
    raise PretrainedError(
        f"{shown(folder.name)} holds no {WEIGHTS} and no {PICKLE}; weights of other formats are not read."
    )


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the checkpoint in `folder` by its name, mapped into memory where the format allows.

    Raises:
        PretrainedError: there are no weights, or ones that hold more than tensors.
        OSError, SafetensorError: a file is missing or damaged.
    """
    from safetensors import safe_open

    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder):
        if file.suffix == ".safetensors":
            _check_header(file)
            with safe_open(file, "pt") as opened:
                tensors |= {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict
        else:
            tensors |= _tensors_of_pickle(file)
    return tensors


def _check_header(file: Path) -> None:
    """Looks at how long a safetensors file says its header is: a million of made-up tensors would take 0.5 GB to read.

    Raises:
        PretrainedError: longer than any model's.
        OSError: the file cannot be read.
    """
    with open_regular(file) as opened:
        begin = opened.read(8)
    length = int.from_bytes(begin, "little")
    if len(begin) == 8 and length > LONGEST_HEADER and length <= file.stat().st_size:
        raise PretrainedError(f"{shown(file.name)} has a header of {length:,} bytes, and no model's is that long.")


def _tensors_of_pickle(file: Path) -> dict[str, Tensor]:
    import torch

    try:
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=zipfile.is_zipfile(file))
    except OSError:
        raise
    except Exception as error:  # torch's, pickle's and zipfile's, of every kind
        raise PretrainedError(
            f"{shown(file.name)} holds more than tensors or is damaged, and pickles can run code when they are read; "
            f"save the model as {WEIGHTS}."
        ) from error
    if not isinstance(found, dict) or not all(isinstance(it, torch.Tensor) for it in found.values()):
        raise PretrainedError(f"{shown(file.name)} should be a dictionary of tensors alone; save its state_dict().")
    return {str(name): tensor.detach() for name, tensor in found.items()}


def read_tokenizer(folder: Path, rows: int) -> Any:
    """The tokenizer in `folder`, which fits a model with `rows` rows in its word table.

    Raises:
        PretrainedError: there is none, or a damaged one, or one without BERT's special tokens.
        VocabularyError: it does not fit.
    """
    name = shown(folder.name)
    if not any((folder / file).is_file() for file in VOCABULARIES):
        raise PretrainedError(f"{name} holds no tokenizer; it needs {' or '.join(VOCABULARIES)}.")
    try:
        tokenizer = tokenizer_in(folder)
    except Exception as error:  # damaged bytes come out of its parsers as errors of every kind
        raise PretrainedError(f"The tokenizer in {name} cannot be read: {first_line(error)}") from error
    if not hasattr(tokenizer, "backend_tokenizer") or any(getattr(tokenizer, it) is None for it in SPECIAL):
        raise PretrainedError(f"The tokenizer in {name} lacks [MASK] or another of BERT's special tokens.")
    check_vocabulary(tokenizer, rows)
    return tokenizer
