"""JSON out of files that anybody may have written: only regular files, of a size, a depth and numbers that can be.

Everything in the engine and the app that reads JSON from a file goes through here, so that a pipe in a file's place, a
hundred thousand brackets or a number of ten thousand digits is one sentence and no hang, crash or full memory. What the
values mean is for whoever asked: for runs see engine/storage/run_records.py.
"""

from __future__ import annotations

import contextlib
import json
import math
import os
import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

MOST_BYTES = 32_000_000  # of a file, unless its reader says otherwise
DEEPEST = 64  # brackets within brackets
LONGEST_NUMBER = 31  # digits and sign of a whole number: no parameter, byte or FLOP was ever counted further
_MARKS = re.compile(r'"(?:[^"\\]|\\.)*+"?|[\[\]{}]', re.DOTALL)


class JsonFileError(ValueError):
    """A file that holds no JSON of ours, in half a sentence that begins with a verb: "is a folder"."""


@contextlib.contextmanager
def open_regular(path: Path, *, links: bool = True) -> Iterator[BinaryIO]:
    """The regular file `path`, open for reading; a pipe, a device or a folder in its place is never waited for.

    `links`: whether a symbolic link as the last part of `path` is followed.

    Raises:
        OSError: it is not there or may not be read.
        JsonFileError: it is something else than a file.
    """
    found = path.lstat()
    if stat.S_ISLNK(found.st_mode):
        if not links:
            raise JsonFileError("is a link to somewhere else")
        found = path.stat()
    _check_regular(found.st_mode)
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
    number = os.open(path, flags if links else flags | getattr(os, "O_NOFOLLOW", 0))
    with open(number, "rb", buffering=0) as file:
        _check_regular(os.fstat(number).st_mode)  # it may have changed since
        yield file


def read_regular(path: Path, most: int = MOST_BYTES, *, links: bool = True) -> bytes:
    """What stands in a regular file of at most `most` bytes. Raises OSError, JsonFileError as `open_regular`."""
    with open_regular(path, links=links) as file:
        parts, size = [], 0
        while part := file.read(min(1 << 16, most + 1 - size)):
            size += len(part)
            if size > most:
                raise JsonFileError(f"is larger than {most:,} bytes")
            parts.append(part)
    return b"".join(parts)


def read_json(path: Path, most: int = MOST_BYTES, *, links: bool = True, strict: bool = False) -> Any:
    """The JSON value in a file; `strict` as of `parse_json`. Raises OSError, JsonFileError."""
    return parse_json(read_regular(path, most, links=links), strict=strict)


def read_json_object(path: Path, most: int = MOST_BYTES, *, links: bool = True) -> dict[str, Any]:
    """The JSON object in a file. Raises OSError, JsonFileError."""
    found = read_json(path, most, links=links)
    if not isinstance(found, dict):
        raise JsonFileError(f"should be an object of named values, and is {kind_name(found)}")
    return found


def parse_json(text: bytes | bytearray | str, *, strict: bool = False) -> Any:
    """The JSON value in `text`. Python's NaN and Infinity become None: no number is known there.

    Half a surrogate pair becomes U+FFFD, for it can be written nowhere.

    `strict`: NaN and Infinity are errors instead.

    Raises:
        JsonFileError: it is none, nested too deeply, or has a number that counts nothing.
    """
    try:
        words = text if isinstance(text, str) else text.decode(json.detect_encoding(text), "strict")
        _check_depth(words)
        found = json.loads(
            words,
            parse_int=_whole_number,
            parse_float=_fraction,
            parse_constant=_refused_constant if strict else _no_number,
        )
    except JsonFileError:
        raise
    except (ValueError, RecursionError) as error:  # damaged JSON, text in no encoding
        raise JsonFileError(f"is no JSON ({str(error)[:80]})") from error
    return _without_half_pairs(found) if isinstance(text, str) or "\\u" in words else found


def kind_name(value: Any) -> str:
    """What kind of JSON value it is, for people."""
    names = {dict: "an object", list: "a list", str: "a text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")


def _check_regular(mode: int) -> None:
    if stat.S_ISDIR(mode):
        raise JsonFileError("is a folder, and a file was expected")
    if not stat.S_ISREG(mode):
        raise JsonFileError("is a pipe or a device, and a file was expected")


def _check_depth(words: str) -> None:
    if words.count("[") + words.count("{") <= DEEPEST:
        return
    depth = 0
    for mark in _MARKS.finditer(words):
        sign = mark[0][:1]
        if sign in "[{":
            depth += 1
            if depth > DEEPEST:
                raise JsonFileError(f"is nested more than {DEEPEST} deep")
        elif sign in "]}":
            depth -= 1


def _whole_number(digits: str) -> int:
    if len(digits) > LONGEST_NUMBER:
        raise JsonFileError(f"has a number of {len(digits):,} digits")
    return int(digits)


def _fraction(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise JsonFileError(f"has a number beyond all reason ({digits[:20]})")
    return value


def _no_number(constant: str) -> None:
    return None


def _refused_constant(constant: str) -> NoReturn:
    raise JsonFileError(f"has {constant} where a number was expected")


def _without_half_pairs(value: Any) -> Any:
    if isinstance(value, str):
        return value if value.isascii() else value.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    if isinstance(value, list):
        return [_without_half_pairs(one) for one in value]
    if isinstance(value, dict):
        return {_without_half_pairs(name): _without_half_pairs(one) for name, one in value.items()}
    return value
