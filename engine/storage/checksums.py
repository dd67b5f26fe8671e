"""Checksums of what a run writes and reads back, so that one flipped bit is told from what was written. No torch.

A folder keeps those of its files in checksums.json; a JSON object carries its own under "checksum". What was written
before there were checksums is taken as it is. BLAKE2b (RFC 7693) is the fastest strong hash of the standard library
where the processor does not do SHA itself.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from engine.storage.atomic import write_json
from engine.storage.json_file import parse_json, read_json_object

FORMAT = 1  # of checksums.json
NAME = "checksums.json"
SEAL = "checksum"  # the field of a JSON object that holds its own
CHUNK = 1 << 22  # bytes that have one checksum together, where a file may be read in parts
PIECE = 1 << 16  # bytes in memory at a time


class ChecksumError(ValueError):
    """What lies there is not what was written, in words that go on from a name: "x.json has changed since ..."."""


class NewerFormatError(ValueError):
    """A file of a later version, in one sentence."""


def refuse_newer(found: Any, known: int, what: str) -> None:
    """Refuses a format number that this version does not know; nothing, for files of before there were any, is known.

    Raises:
        NewerFormatError: `what`, which begins the sentence, is of a later version.
    """
    if found is not None and (not isinstance(found, int) or isinstance(found, bool) or found > known):
        raise NewerFormatError(
            f"{what} was written by a newer version of Heirloom (format {str(found)[:20]}, and this one reads formats "
            f"up to {known}); update Heirloom to open it."
        )


class DigestedFile:
    """A file that is written from its beginning to its end, and the digest of what was written into it.

    Libraries that write through it may lose the system's reason when a write fails: it stays in `error`.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file, self._digest, self.size = file, _hash(), 0
        self.error: OSError | None = None

    def write(self, data: Any) -> int:
        """Writes all of `data`, bytes of any kind. Raises OSError."""
        view = memoryview(data).cast("B")
        try:
            self._file.write(view)
        except OSError as error:
            self.error = error
            raise
        self._digest.update(view)
        self.size += len(view)
        return len(view)

    def flush(self) -> None:
        """Hands what is buffered to the system. Raises OSError."""
        self._file.flush()

    def record(self) -> dict[str, Any]:
        """What checksums.json keeps of it."""
        return {"bytes": self.size, "blake2b": self._digest.hexdigest()}


def write_checksums(folder: Path, known: Mapping[str, dict[str, Any]] | None = None) -> None:
    """Writes checksums.json over all files in `folder`, and in folders below it, that are there now.

    `known`: records of files that need not be read once more. Raises OSError.
    """
    files = dict(known or {})
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name not in files and path.name != NAME:
            files[name] = {"bytes": path.stat().st_size, "blake2b": file_checksum(path)}
    write_json(folder / NAME, sealed({"format": FORMAT, "files": files}))


def check_files(folder: Path, names: Iterable[str] | None = None) -> None:
    """Compares files in `folder` with checksums.json; `names`: these only. Without checksums.json nothing is compared.

    Raises:
        ChecksumError: a file is missing or not as it was written; names the first one.
        NewerFormatError: checksums.json is of a later version.
        OSError: one cannot be read.
    """
    files = _records(folder)
    if files is None:
        return
    for name in files if names is None else names:
        if name not in files:
            raise ChecksumError(f"{name} was not there when the others were written")
        path, record = folder / name, files[name]
        if not path.is_file():
            raise ChecksumError(f"{name} is missing")
        if (size := path.stat().st_size) != record["bytes"]:
            raise ChecksumError(f"{name} has {size:,} bytes, and {record['bytes']:,} were written")
        if file_checksum(path) != record["blake2b"]:
            raise ChecksumError(f"{name} has changed since it was written, its checksum says")


def listed_files(folder: Path) -> list[str]:
    """The files that checksums.json lists; none where there is no such file.

    Raises:
        ChecksumError, NewerFormatError: it is damaged, or of a later version.
    """
    return list(_records(folder) or {})


def sizes_fit(folder: Path) -> bool:
    """Whether all files that checksums.json lists are there in their sizes; True where it lists none. Reads no file."""
    try:
        files = _records(folder) or {}
        return all((folder / name).stat().st_size == record["bytes"] for name, record in files.items())
    except (OSError, ValueError):
        return False


def file_checksum(path: Path) -> str:
    """The checksum of a file's bytes. Raises OSError."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, _hash).hexdigest()


def chunk_checksums(path: Path, limit: int | None = None) -> list[str]:
    """The checksum of each CHUNK bytes of a file, the last ones in a shorter chunk.

    `limit`: only of the chunks that hold its first so many bytes. Raises OSError.
    """
    found: list[str] = []
    with path.open("rb", buffering=0) as file:
        while limit is None or len(found) * CHUNK < limit:
            digest, left = _hash(), CHUNK
            while left and (data := file.read(min(left, PIECE))):
                digest.update(data)
                left -= len(data)
            if left == CHUNK:
                break
            found.append(digest.hexdigest())
    return found


def sealed(value: Mapping[str, Any]) -> dict[str, Any]:
    """`value`, which is JSON, with its own checksum in it."""
    return {**value, SEAL: _own_checksum(value)}


def check_seal(value: Mapping[str, Any]) -> None:
    """Compares a JSON object with its own checksum, if it has one.

    Raises:
        ChecksumError: it has changed.
    """
    if SEAL in value and value[SEAL] != _own_checksum(value):
        raise ChecksumError("its checksum says that it has changed since it was written")


def _own_checksum(value: Mapping[str, Any]) -> str:
    plain = parse_json(json.dumps({name: field for name, field in value.items() if name != SEAL}))
    return _checksum(json.dumps(plain, sort_keys=True).encode())


def _records(folder: Path) -> dict[str, dict[str, Any]] | None:
    """What checksums.json says of each file; None where there is none.

    Raises:
        ChecksumError, NewerFormatError: it is damaged, or of a later version.
    """
    path = folder / NAME
    if not path.exists():
        return None
    try:
        told = read_json_object(path)
        check_seal(told)
        refuse_newer(told.get("format"), FORMAT, f"{folder.name}/{NAME}")
        files = dict(told["files"])
        if SEAL not in told or not all(
            isinstance(it["bytes"], int) and isinstance(it["blake2b"], str) for it in files.values()
        ):
            raise ValueError("not as it was written")
    except NewerFormatError:
        raise
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise ChecksumError(f"{NAME} is damaged") from error
    return files


def _hash() -> Any:
    return hashlib.blake2b(digest_size=20)


def _checksum(data: bytes) -> str:
    return hashlib.blake2b(data, digest_size=20).hexdigest()
