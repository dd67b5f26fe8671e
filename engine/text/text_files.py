"""Documents out of files: plain text, JSON lines, CSV, Parquet. Reads one document at a time; says where it fails."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

from engine.settings.error_text import disk_reason
from engine.text.token_store import CorpusError

TEXT_COLUMN = "text"  # what the column is called when nobody says
PARQUET_ROWS = 1024  # read together
_SENTENCE_END = re.compile(r"(?<=[.!?])\s+")


def read_documents(path: Path, column: str) -> Iterator[list[str]]:
    """The documents of the file `path`, each a list of sentences, in the file's order.

    txt: blank lines part documents; in a file without any, each line is one. jsonl, csv, parquet: each row is one, its
    text in `column`, or in "text", or in the only column there is. A list of strings counts as sentences already.

    Raises:
        CorpusError: the file is of another kind, gone, not UTF-8 or damaged; says in which line.
    """
    if path.suffix.lower() not in READERS:
        raise CorpusError(f"A corpus file ends in {', '.join(READERS)}; got {path.name!r}.")
    if path.suffix.lower() == ".txt" and column:
        raise CorpusError(f"A text file has no columns, got {column!r}; write file:PATH alone.")
    try:
        for found in READERS[path.suffix.lower()](path, column):
            document = [sentence for sentence in map(str.strip, found) if sentence]
            if document:
                yield document
    except OSError as error:
        raise CorpusError(f"The corpus file {path} cannot be read: {disk_reason(error)}.") from error


def split_sentences(text: str) -> list[str]:
    """The sentences of `text`, white space made single blanks; they end in . ! or ? before a blank."""
    return _SENTENCE_END.split(" ".join(text.split()))


def _lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file with their ends."""
    with path.open("rb") as file:
        for number, line in enumerate(file, 1):
            try:
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError as error:
                raise CorpusError(
                    f"{path.name}, line {number}: byte {line[error.start]:#04x} at column {error.start + 1} is not "
                    "UTF-8; save the file as UTF-8."
                ) from error


def _text_documents(path: Path, column: str) -> Iterator[list[str]]:
    blank = begun = False
    for line in _lines(path):  # is there a blank line between two others?
        if line.strip():
            if blank:
                break
            begun = True
        else:
            blank = begun
    else:
        blank = False
    paragraph: list[str] = []
    for line in _lines(path):
        if line.strip():
            paragraph.append(line)
        if paragraph and not (line.strip() and blank):  # ends at a blank line, or with every line
            yield split_sentences(" ".join(paragraph))
            paragraph = []
    if paragraph:
        yield split_sentences(" ".join(paragraph))


def _json_documents(path: Path, column: str) -> Iterator[list[str]]:
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{path.name}, line {number}: no JSON ({str(error)[:80]}).") from error
        if not isinstance(row, dict):
            raise CorpusError(f"{path.name}, line {number}: expected an object with a text in it, got {_kind(row)}.")
        name = text_column(list(row), column, f"{path.name}, line {number}")
        yield cell_sentences(row[name], f"{path.name}, line {number}")


def _csv_documents(path: Path, column: str) -> Iterator[list[str]]:
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a document is longer than the usual 131,072 characters
    rows = csv.reader(_lines(path), strict=True)
    try:
        header = next(rows, None)
        if header is None:
            raise CorpusError(f"{path.name} is empty; its first line should name the columns.")
        place = header.index(text_column(header, column, f"{path.name}, line 1"))
        for row in rows:
            if row:
                if len(row) <= place:
                    raise CorpusError(
                        f"{path.name}, line {rows.line_num}: {len(row)} columns instead of {len(header)}."
                    )
                yield split_sentences(row[place])
    except csv.Error as error:
        raise CorpusError(f"{path.name}, line {rows.line_num}: no CSV ({error}).") from error


def _parquet_documents(path: Path, column: str) -> Iterator[list[str]]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise CorpusError("Parquet files need a package that is not here: pip install pyarrow.") from error
    try:
        with parquet.ParquetFile(path) as file:
            name = text_column(file.schema_arrow.names, column, path.name)
            number = 0
            for batch in file.iter_batches(PARQUET_ROWS, columns=[name]):
                for value in batch.column(0).to_pylist():
                    number += 1
                    yield cell_sentences(value, f"{path.name}, row {number}")
    except pyarrow.ArrowException as error:
        raise CorpusError(
            f"{path.name} is no Parquet file, or a damaged one ({str(error).splitlines()[0][:120]})."
        ) from error


def text_column(names: list[str], wanted: str, where: str) -> str:
    """Which of the columns `names` holds the text."""
    if wanted in names:
        return wanted
    if not wanted and TEXT_COLUMN in names:
        return TEXT_COLUMN
    if not wanted and len(names) == 1:
        return names[0]
    missing = f"no column {wanted!r}" if wanted else f"no column {TEXT_COLUMN!r}"
    listed = ", ".join(repr(str(name)[:40]) for name in names[:20]) or "none"
    raise CorpusError(f"{where}: {missing}, there is {listed}; name one as file:PATH#COLUMN.")


def cell_sentences(value: Any, where: str) -> list[str]:
    """The sentences of one cell; nothing for an empty one."""
    if value is None:
        return []
    if isinstance(value, str):
        return split_sentences(value)
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return [" ".join(part.split()) for part in value]
    raise CorpusError(f"{where}: expected a text, got {_kind(value)}.")


def _kind(value: Any) -> str:
    return type(value).__name__


READERS: dict[str, Callable[[Path, str], Iterable[list[str]]]] = {
    ".txt": _text_documents,
    ".jsonl": _json_documents,
    ".csv": _csv_documents,
    ".parquet": _parquet_documents,
}
