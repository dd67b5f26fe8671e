"""The files of a checkpoint folder in the library's format: config, weights and tokenizer, each read without code.

Weights are safetensors, or the library's older pickles of tensors, which torch reads with everything but tensors
refused.
"""

from __future__ import annotations

import codecs
import contextlib
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.settings.error_text import first_line, last_line, on_one_line
from engine.settings.transformers_import import config_of, tokenizer_in
from engine.sizing.shape import ShapeError
from engine.storage.json_file import JsonFileError, open_regular, parse_json, read_regular
from engine.text.vocabulary import VocabularyError, check_added_tokens, check_vocabulary

if TYPE_CHECKING:
    from torch import Tensor

VOCABULARIES = ("tokenizer.json", "vocab.txt", "spiece.model")
TOKENIZER_FILES = (*VOCABULARIES, "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
PICKLE, PICKLE_INDEX = "pytorch_model.bin", "pytorch_model.bin.index.json"
SPECIAL = ("pad_token_id", "unk_token_id", "cls_token_id", "sep_token_id", "mask_token_id")
MOST_BYTES, MOST_JSON = {"config.json": 1_000_000}, 200_000_000
POINTER = b"version https://git-lfs"
LONGEST_HEADER = 8_000_000  # bytes of a safetensors file's list of tensors, of which each takes about a hundred
LONGEST_SENTENCE, LONGEST_NAME = 199, 40  # letters
BYTE_ORDER_MARKS = (codecs.BOM_UTF8, codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


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
    return on_one_line(name, LONGEST_NAME)


def read_config(path: Path, name: str = "") -> dict[str, Any]:
    """The JSON object in the file `path`, in UTF-8 as the library reads it. `name`: the model's; empty: its folder's.

    Raises:
        PretrainedError: there is none.
    """
    folder = shown(name or path.parent.name)
    try:
        found = read_regular(path, MOST_BYTES.get(path.name, MOST_JSON))  # of more, the library's reader takes minutes
        if found.startswith(BYTE_ORDER_MARKS):
            raise PretrainedError(
                f"The {path.name} of {folder} begins with a byte order mark, which transformers does not read; save it "
                "as UTF-8 without one."
            )
        config = parse_json(found.decode())
    except JsonFileError as error:
        raise PretrainedError(f"{folder} has no readable {path.name}: it {error}.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise PretrainedError(f"{folder} has no readable {path.name} ({type(error).__name__}).") from error
    if not isinstance(config, dict):
        raise PretrainedError(f"The {path.name} of {folder} should be an object, got {type(config).__name__}.")
    return config


def weight_files(folder: Path) -> list[Path]:
    """The files with a checkpoint's weights, which may be cut into several; all lie in `folder` itself.

    Raises:
        PretrainedError: there are none, or the index of several names other places.
    """
    for whole, index in ((WEIGHTS, INDEX), (PICKLE, PICKLE_INDEX)):
        if (folder / whole).is_file():
            return [folder / whole]
        if (folder / index).is_file():
            parts = read_config(folder / index).get("weight_map")
            names = {name for name in parts.values() if isinstance(name, str)} if isinstance(parts, dict) else set()
            if names and all(Path(name).name == name and name.endswith((".safetensors", ".bin")) for name in names):
                return [folder / name for name in sorted(names)]
            raise PretrainedError(
                f"The {index} of {shown(folder.name)} should name files with weights that lie beside it, and does not."
            )
    raise PretrainedError(
        f"{shown(folder.name)} holds no {WEIGHTS} and no {PICKLE}; weights of other formats are not read."
    )


def read_tensors(folder: Path) -> dict[str, Tensor]:
    """Every tensor of the checkpoint in `folder` by its name, mapped into memory where the format allows.

    Raises:
        PretrainedError: there are no weights, or ones that hold more than tensors, or two of one name that differ.
        OSError, SafetensorError: a file is missing or damaged.
    """
    from safetensors import SafetensorError

    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder):
        if not file.is_file():
            raise FileNotFoundError(f"there is no file {shown(file.name)}")
        _refuse_pointer(file)
        try:
            found = _tensors_of_safetensors(file) if file.suffix == ".safetensors" else _tensors_of_pickle(file)
        except (OSError, SafetensorError, PretrainedError):
            raise
        except Exception as error:  # names that are no text, kinds of numbers that torch lacks, no memory to map into
            raise PretrainedError(f"{shown(file.name)} cannot be read: {on_one_line(first_line(error))}.") from error
        for name in tensors.keys() & found.keys():
            if not _same(tensors[name], found[name]):
                raise PretrainedError(
                    f"Two files with weights hold {on_one_line(name)} with different numbers; save the model again."
                )
        tensors |= found
    return tensors


def _same(one: Tensor, other: Tensor) -> bool:
    return one.dtype == other.dtype and one.layout == other.layout and one.equal(other)


def _refuse_pointer(file: Path) -> None:
    """Raises PretrainedError for what git leaves in place of a large file until it is asked for that."""
    with file.open("rb") as opened:
        if opened.read(len(POINTER)) == POINTER:
            raise PretrainedError(f"{shown(file.name)} is only a pointer of Git LFS; fetch the file with git lfs pull.")


def _tensors_of_safetensors(file: Path) -> dict[str, Tensor]:
    from safetensors import safe_open

    _check_header(file)
    with safe_open(file, "pt") as opened:
        return {name: opened.get_tensor(name) for name in opened.keys()}  # noqa: SIM118 - not a dict


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

    name = shown(file.name)
    try:
        mapped = zipfile.is_zipfile(file)
        if mapped and any(part.compress_type != zipfile.ZIP_STORED for part in zipfile.ZipFile(file).infolist()):
            raise PretrainedError(f"{name} is compressed, as torch never saves it; save the model as {WEIGHTS}.")
        found = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)
    except (FileNotFoundError, PermissionError, PretrainedError):
        raise
    except Exception as error:  # torch's, pickle's and zipfile's, of every kind
        raise PretrainedError(
            f"{name} holds more than tensors or is damaged, and pickles can run code when they are read; "
            f"save the model as {WEIGHTS}."
        ) from error
    if isinstance(found, dict):
        if all(isinstance(key, str) and isinstance(it, torch.Tensor) for key, it in found.items()):
            return {key: tensor.detach() for key, tensor in found.items()}
        for key, it in found.items():
            if isinstance(it, dict) and it and all(isinstance(part, torch.Tensor) for part in it.values()):
                raise PretrainedError(
                    f"{name} holds its tensors under {on_one_line(key, 20)!r}; save that dictionary alone."
                )
    raise PretrainedError(f"{name} should be a dictionary of tensors alone; save its state_dict().")


def read_tokenizer(folder: Path, rows: int) -> Any:
    """The tokenizer in `folder`, which fits a model with `rows` rows in its word table.

    Raises:
        PretrainedError: there is none, or a damaged one, or one without BERT's special tokens.
        VocabularyError: it does not fit.
    """
    name = shown(folder.name)
    if not any((folder / file).is_file() for file in VOCABULARIES):
        raise PretrainedError(f"{name} holds no tokenizer; it needs {' or '.join(VOCABULARIES)}.")
    there = [file for file in TOKENIZER_FILES if (folder / file).exists()]
    said = {file: read_config(folder / file) for file in there if file.endswith(".json")}
    try:
        tokenizer = tokenizer_in(folder)
    except Exception as error:  # damaged bytes come out of its parsers as errors of every kind
        _blame_config(folder)  # which the library opens first
        raise PretrainedError(_unreadable(folder, said, error)) from error
    if not hasattr(tokenizer, "backend_tokenizer"):
        raise PretrainedError(f"The tokenizer in {name} is a {type(tokenizer).__name__}, which BERT's family has not.")
    if any(getattr(tokenizer, it) is None for it in SPECIAL):
        raise PretrainedError(f"The tokenizer in {name} lacks [MASK] or another of BERT's special tokens.")
    check_vocabulary(tokenizer, rows)
    check_added_tokens(tokenizer, _declared(said))
    return tokenizer


def _blame_config(folder: Path) -> None:
    """Raises PretrainedError if it is for the config.json in `folder` that the library reads no tokenizer there."""
    file = folder / "config.json"
    if not file.is_file():
        return
    config = read_config(file)
    try:
        config_of(config)
    except Exception as error:  # a strict dataclass's, Python's and others
        reason = last_line(error).removeprefix("TypeError: ").partition(" in (<class")[0][:100]
        raise PretrainedError(
            f"transformers does not take the {file.name} of {shown(folder.name)}: {reason}."
        ) from error
    named = folder / "tokenizer_config.json"
    if not config.get("model_type") and not (named.is_file() and "tokenizer_class" in read_config(named)):
        raise PretrainedError(
            f"The {file.name} of {shown(folder.name)} names no model_type, by which transformers chooses a tokenizer; "
            "add it, for instance bert."
        )


def _unreadable(folder: Path, said: dict[str, dict[str, Any]], error: Exception) -> str:
    """Why the library could not read a tokenizer: in its words where they are some, else which files to look at."""
    name, kind = shown(folder.name), said.get("tokenizer_config.json", {}).get("tokenizer_class")
    if kind is not None and not re.fullmatch(r"(Bert|DistilBert|Albert|Electra)Tokenizer(Fast)?", str(kind)):
        return (
            f"The tokenizer in {name} cannot be read: tokenizer_config.json asks for {on_one_line(kind, 40)!r}, which "
            "does not fit its files or is not here."
        )
    if "tokenizer.json" not in said and (folder / "spiece.model").is_file() and not (folder / "vocab.txt").is_file():
        return f"The tokenizer in {name} cannot be read: its spiece.model is no SentencePiece model, or a damaged one."
    if type(error).__name__.startswith("StrictDataclass"):  # what the library's class of configs says of a field
        return f"The config.json of {name} cannot be read: {last_line(error)}"
    reason = first_line(error)
    if isinstance(error, AttributeError | TypeError | KeyError | RecursionError):  # of its code, not of the files
        reason = f"a value in {', '.join(['config.json', *said])} is missing or of another kind than expected."
    return f"The tokenizer in {name} cannot be read: {reason}"


def _declared(said: dict[str, dict[str, Any]]) -> dict[str, int]:
    """The ids of added tokens as a tokenizer's JSON files give them."""
    added: dict[Any, Any] = dict(said.get("added_tokens.json", {}))
    decoder = said.get("tokenizer_config.json", {}).get("added_tokens_decoder")
    if isinstance(decoder, dict):
        tokens = {id: token for id, token in decoder.items() if id.isdecimal() and isinstance(token, dict)}
        added |= {token.get("content"): int(id) for id, token in tokens.items()}
    listed = said.get("tokenizer.json", {}).get("added_tokens")
    if isinstance(listed, list):
        added |= {token.get("content"): token.get("id") for token in listed if isinstance(token, dict)}
    return {token: id for token, id in added.items() if isinstance(token, str) and isinstance(id, int)}


def vocabularies_differ(folder: Path, tokenizer: Any) -> bool:
    """Whether a vocab.txt lies beside the tokenizer.json that `tokenizer` was read from, and says something else."""
    lines = folder / "vocab.txt"
    if not (lines.is_file() and (folder / "tokenizer.json").is_file()):
        return False
    words = lines.read_text(encoding="utf-8", errors="replace").split("\n")
    ids = {word.rstrip("\r"): id for id, word in enumerate(words) if word.strip()}
    there = tokenizer.get_vocab()
    return any(there.get(word) != id for word, id in ids.items())
