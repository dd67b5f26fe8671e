"""Rows of tokens on disk: built once through a small buffer, then mapped into memory; whole, or not there at all.

An entry holds the first rows of what a key names. All entries of a key begin with the same rows, so a longer one serves
every shorter wish and replaces the shorter ones. Knows nothing of text and tokenizers; no torch.
"""

from __future__ import annotations

import itertools
import json
import secrets
import shutil
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock, Timeout

from engine.settings.error_text import disk_reason
from engine.storage.atomic import whole_folder
from engine.storage.cache import cache_folder, digest, writable_cache_folder
from engine.storage.checksums import ChecksumError, check_seal, chunk_checksums, sealed
from engine.storage.json_file import read_json_object

LAYOUT_VERSION = 1  # of the files of an entry; another number, and older entries are not found any more
BUFFER_TOKENS = 1 << 18  # held in memory while building
WAIT_S = 1.0  # how often a process that waits for another's building says so

MakeRows = Callable[[], Iterable[Sequence[int]]]
Progress = Callable[[int], None]


class CorpusError(ValueError):
    """A corpus that cannot be read or stored, in one sentence."""


@dataclass(frozen=True, eq=False)
class TokenRows:
    """Rows of token ids on disk. Asking for some reads no others."""

    tokens: np.ndarray  # (token,) uint16 or int32, memory-mapped: the rows one after the other
    starts: np.ndarray  # (row + 1,) int64, memory-mapped: where in `tokens` each row starts, and where the last ends
    length: int  # most tokens in a row
    pad: int  # the token that fills a row up to `length`

    def __len__(self) -> int:
        return len(self.starts) - 1

    def __getitem__(self, which: slice | np.ndarray) -> np.ndarray:
        """The rows at `which`, a slice or numbers (row,): a new array (row, pos) int32, padded at the end."""
        if isinstance(which, slice):
            which = np.arange(*which.indices(len(self)))
        columns = np.arange(self.length)
        filled = columns < self.lengths(which)[:, None]
        rows = np.full(filled.shape, self.pad, dtype=np.int32)
        rows[filled] = self.tokens[(self.starts[which][:, None] + columns)[filled]]
        return rows

    def lengths(self, which: np.ndarray) -> np.ndarray:
        """How many tokens the rows numbered `which` (row,) have, without padding: (row,) int64."""
        return np.asarray(self.starts[which + 1] - self.starts[which])

    def first(self, count: int) -> TokenRows:
        """At most the first `count` rows."""
        starts = self.starts[: count + 1]
        return TokenRows(self.tokens[: starts[-1]], starts, self.length, self.pad)


def open_token_rows(
    key: Any, count: int, make: MakeRows, *, length: int, pad: int, largest: int, progress: Progress | None = None
) -> TokenRows:
    """The first `count` rows that `make` yields, or all if there are fewer. Built if they are not on disk yet.

    `key`: JSON that differs wherever the rows may. `length`: most tokens in a row. `largest`: the highest token there
    can be. `progress` is told how many rows are built so far, and 0 while another process is building them; what it
    raises ends the building and leaves nothing behind.

    Raises:
        CorpusError: there is not one row, or the disk does not take them.
    """
    name = digest([LAYOUT_VERSION, key])
    found = None
    with suppress(OSError, RuntimeError):  # also from a cache that others wrote and we may only read
        found = _find(cache_folder() / "tokens" / name, count)
    if found is None:
        folder = writable_cache_folder("tokens") / name
        with _build_lock(folder, progress):
            found = _find(folder, count) or _build(folder, count, make, largest, progress)
    return TokenRows(*found, length, pad).first(count)


@contextmanager
def _build_lock(folder: Path, progress: Progress | None) -> Iterator[None]:
    """Waits until nobody else builds `folder`. The system lets go of the lock when its holder ends, however it ends."""
    lock = FileLock(folder.with_suffix(".lock"))
    while not lock.is_locked:
        try:
            with _as_corpus_error(folder):
                lock.acquire(timeout=WAIT_S)
        except Timeout:
            if progress:
                progress(0)
    try:
        yield
    finally:
        lock.release()


def _find(folder: Path, count: int) -> tuple[np.ndarray, np.ndarray] | None:
    """(tokens, starts) of a whole entry that has `count` rows or all there are, mapped into memory.

    The bytes of these rows are compared with their checksums, chunk by chunk; entries of before there were any have
    none. One that has changed is not found, and built anew.
    """
    for path in folder.glob("[!.]*/about.json"):
        with suppress(OSError, ValueError, KeyError, TypeError, IndexError):  # damaged, or being removed right now
            about = read_json_object(path)
            check_seal(about)
            tokens = np.memmap(path.parent / "tokens", about["dtype"], mode="r")
            starts = np.memmap(path.parent / "starts", "<i8", mode="r")
            sizes = (about["rows"] + 1, 0, about["tokens"], about["tokens"])
            whole = (len(starts), starts[0], starts[-1], len(tokens)) == sizes
            if whole and (about["rows"] >= count or about["complete"]):
                _check_bytes(path.parent, about.get("checksums"), starts, tokens.itemsize, count)
                return tokens, starts
    return None


def _check_bytes(folder: Path, kept: dict[str, list[str]] | None, starts: np.ndarray, size: int, count: int) -> None:
    """Compares the first `count` rows on disk with their checksums. Raises ChecksumError."""
    if kept is None:
        return
    count = min(count, len(starts) - 1)
    # the starts first: they say how far the tokens of these rows reach
    for name, reach in (("starts", lambda: 8 * (count + 1)), ("tokens", lambda: size * int(starts[count]))):
        found = chunk_checksums(folder / name, reach())
        if found != kept[name][: len(found)]:
            raise ChecksumError(f"{name} has changed since it was written")


def _build(
    folder: Path, count: int, make: MakeRows, largest: int, progress: Progress | None
) -> tuple[np.ndarray, np.ndarray]:
    """What _find finds, after writing it into a folder that is complete or not there."""
    _clear(folder, ".*")  # drafts of builders that were killed
    name = secrets.token_hex(8)
    with _as_corpus_error(folder), whole_folder(folder / name) as draft:
        about = _write(draft, itertools.islice(make(), count), "H" if largest < 1 << 16 else "i", progress)
        if not about["rows"]:
            raise CorpusError("A corpus without a single row of tokens cannot be stored; choose one that has text.")
        kept = {name: chunk_checksums(draft / name) for name in ("tokens", "starts")}
        about |= {"complete": about["rows"] < count, "checksums": kept}
        (draft / "about.json").write_text(json.dumps(sealed(about)))
    _clear(folder, "[!.]*", keep=name)  # shorter or damaged, or it would have been found
    if found := _find(folder, count):
        return found
    raise CorpusError(f"Tokens were stored in {folder} but read back damaged; set HEIRLOOM_CACHE to another disk.")


def _write(draft: Path, rows: Iterable[Sequence[int]], typecode: str, progress: Progress | None) -> dict[str, Any]:
    """Writes `rows` to the files tokens and starts in `draft`; what is to be said about them."""
    tokens, starts = array(typecode), array("q", [0])
    built = written = 0

    def append() -> None:
        for name, buffer in (("tokens", tokens), ("starts", starts)):
            with (draft / name).open("ab") as file:
                buffer.tofile(file)
            del buffer[:]
        if progress:
            progress(built)

    for row in rows:
        tokens.extend(row)
        built, written = built + 1, written + len(row)
        starts.append(written)
        if len(tokens) >= BUFFER_TOKENS:
            append()
    append()
    return {"rows": built, "tokens": written, "dtype": np.dtype(typecode).str}


def _clear(folder: Path, pattern: str, keep: str = "") -> None:
    """Removes entries or drafts. Where the system refuses, as Windows does for a mapped file, they stay."""
    for path in folder.glob(pattern):
        if path.name != keep:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _as_corpus_error(folder: Path) -> Iterator[None]:
    """Turns what the file system says into a sentence."""
    try:
        yield
    except Timeout:  # an OSError too, but only somebody else's turn
        raise
    except OSError as error:
        raise CorpusError(
            f"The tokens of the corpus cannot be stored in {folder.parent}: {disk_reason(error)}; "
            "free some space there, or set HEIRLOOM_CACHE to a folder on another disk."
        ) from error
