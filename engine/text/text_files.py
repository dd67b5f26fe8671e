"""Documents out of files: plain text, JSON lines, CSV, Parquet. Reads one document at a time; says where it fails."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path, PurePath
from typing import Any

from engine.settings.error_text import disk_reason
from engine.text.sentences import split_sentences
from engine.text.tables import split_column, table_cells, text_column
from engine.text.token_store import CorpusError

PARQUET_ROWS = 1024  # read together
GZIP, GZIP_MARK = ".gz", b"\x1f\x8b"
LONGEST_LINE = 100_000_000  # bytes
ALWAYS_UNPACKED, MOST_EXPANSION = 20_000_000, 200  # bytes; times (text gives 3 to 10, tables of numbers 50)


def file_kind(name: str) -> str:
    """What kind of corpus file `name` names, by its end: a key of READERS, and .gz where it is compressed.

    Raises:
        CorpusError: it is of no kind that is read.
    """
    ends = [end.lower() for end in PurePath(name).suffixes]
    compressed = ends[-1:] == [GZIP]
    kind = "".join(ends[-2:-1] if compressed else ends[-1:])
    if kind in READERS and not (compressed and kind == ".parquet"):  # Parquet compresses by itself
        return kind + GZIP * compressed
    raise CorpusError(
        f"A corpus file ends in {', '.join(READERS)}, or in {GZIP} behind one of them; got {name[-40:]!r}."
    )


def read_documents(path: Path, column: str) -> Iterator[list[str]]:
    """The documents of the file `path`, each a list of sentences, in the file's order.

    txt: blank lines part documents; in a file without any, each line is one. jsonl, csv, tsv, parquet: each row is one,
    its text in `column`, or in "text", or in the only column there is; a delimiter may stand behind `column` as in
    engine/text/tables.py. A list of strings counts as sentences already. All but parquet may be compressed by gzip.

    Raises:
        CorpusError: the file is of another kind, gone, empty, not UTF-8 or damaged; says in which line.
    """
    kind = file_kind(path.name).removesuffix(GZIP)
    if kind == ".txt" and column:
        raise CorpusError(f"A text file has no columns, got {column!r}; write file:PATH alone.")
    if kind not in (".csv", ".tsv") and split_column(column)[1]:
        raise CorpusError(f"Only csv and tsv files have a delimiter, got {column!r}; write file:PATH#COLUMN.")
    empty = True
    try:
        for found in READERS[kind](path, column):
            document = [sentence for sentence in map(str.strip, found) if sentence]
            if document:
                empty = False
                yield document
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise CorpusError(f"{path.name} is no gzip file, or a damaged one ({error}); compress it again.") from error
    except OSError as error:
        raise CorpusError(f"The corpus file {path} cannot be read: {disk_reason(error)}.") from error
    if empty:
        raise CorpusError(f"{path.name} is empty: there is no text in it; choose a file that has some.")


def _lines(path: Path) -> Iterator[str]:
    """The lines of a UTF-8 file with their ends."""
    for number, line in enumerate(_raw_lines(path), 1):
        where = f"{path.name}, line {number}"
        if number == 1 and line.startswith(GZIP_MARK):
            how = "compressed twice; unpack it once" if path.suffix.lower() == GZIP else f"a gzip file; name it {GZIP}"
            raise CorpusError(f"{path.name} is {how}.")
        if number == 1 and not line.endswith(b"\n") and b"\r" in line.rstrip(b"\r"):
            raise CorpusError(f"{path.name} ends its lines with CR alone; save it with LF or CR LF line ends.")
        try:
            text = line.decode("utf-8-sig" if number == 1 else "utf-8")
        except UnicodeDecodeError as error:
            raise CorpusError(
                f"{where}: byte {line[error.start]:#04x} at column {error.start + 1} is not "
                "UTF-8; save the file as UTF-8."
            ) from error
        yield checked_text(text, where)


def _raw_lines(path: Path) -> Iterator[bytes]:
    """The lines of a file, which may be compressed; no more of one than a memory holds, and no bomb."""
    with contextlib.ExitStack() as opened:
        packed = opened.enter_context(path.open("rb"))
        compressed = path.suffix.lower() == GZIP
        file = opened.enter_context(gzip.GzipFile(fileobj=packed)) if compressed else packed
        number = given = looked = at = 0  # bytes unpacked, and both numbers at the last look
        if compressed:
            while given <= ALWAYS_UNPACKED and (piece := file.read(1 << 20)):  # before millions of lines are made of it
                given += len(piece)
            _refuse_bomb(path, given, packed.tell())
            file.seek(0)
            given = 0
        while line := file.readline(LONGEST_LINE + 1):
            number, given = number + 1, given + len(line)
            if compressed and given - looked > ALWAYS_UNPACKED:
                _refuse_bomb(path, given - looked, packed.tell() - at)
                looked, at = given, packed.tell()
            if len(line) > LONGEST_LINE:
                raise CorpusError(
                    f"{path.name}, line {number}: more than {LONGEST_LINE // 10**6} MB without a line end; "
                    "part it into lines."
                )
            yield line


def _refuse_bomb(path: Path, unpacked: int, packed: int) -> None:
    if unpacked > max(ALWAYS_UNPACKED, MOST_EXPANSION * packed):
        raise CorpusError(
            f"{path.name} unpacks to more than {MOST_EXPANSION} times its size, as no text does; "
            "unpack it yourself if it is one."
        )


def checked_text(text: str, where: str) -> str:
    """`text`, if every character of it is one.

    Raises:
        CorpusError: it has a NUL, or half of a surrogate pair, which no encoding can store.
    """
    if "\0" in text:
        raise CorpusError(
            f"{where}: character {text.index(chr(0)) + 1} is NUL, which no text has; take it out, or save the file as "
            "UTF-8 if it is in another encoding."
        )
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError as error:
            raise CorpusError(
                f"{where}: character {error.start + 1} is {text[error.start]!r}, half of a surrogate pair without the "
                "other; take it out, or write both halves."
            ) from error
    return text


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
            yield split_sentences("".join(paragraph))
            paragraph = []
    if paragraph:
        yield split_sentences("".join(paragraph))


def _json_documents(path: Path, column: str) -> Iterator[list[str]]:
    name = None
    for number, line in enumerate(_lines(path), 1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise CorpusError(f"{path.name}, line {number}: no JSON ({str(error)[:80]}).") from error
        if not isinstance(row, dict):
            raise CorpusError(f"{path.name}, line {number}: expected an object with a text in it, got {_kind(row)}.")
        if name is None:
            name = text_column(list(row), column, f"{path.name}, line {number}")
        elif name not in row:  # the only key of another line may be its label
            raise CorpusError(f"{path.name}, line {number}: no {name[:40]!r} in it, as in the lines before.")
        yield cell_sentences(row[name], f"{path.name}, line {number}")


def _table_documents(path: Path, column: str) -> Iterator[list[str]]:
    for where, text in table_cells(lambda: _lines(path), path.name, *split_column(column)):
        yield cell_sentences(text, where)


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
                for cell in batch.column(0):
                    number += 1
                    where = f"{path.name}, row {number}"
                    try:
                        value = cell.as_py()
                    except UnicodeDecodeError as error:
                        raise CorpusError(
                            f"{where}: byte {error.start + 1} is not UTF-8; write it as UTF-8."
                        ) from error
                    yield cell_sentences(value, where)
    except pyarrow.ArrowException as error:
        raise CorpusError(
            f"{path.name} is no Parquet file, or a damaged one ({str(error).splitlines()[0][:120]})."
        ) from error


def cell_sentences(value: Any, where: str) -> list[str]:
    """The sentences of one cell; nothing for an empty one."""
    if value is None:
        return []
    if isinstance(value, str):
        return split_sentences(checked_text(value, where))
    if isinstance(value, list) and all(isinstance(part, str) for part in value):
        return [" ".join(checked_text(part, where).split()) for part in value]
    raise CorpusError(f"{where}: expected a text, got {_kind(value)}.")


def _kind(value: Any) -> str:
    return type(value).__name__


READERS: dict[str, Callable[[Path, str], Iterable[list[str]]]] = {
    ".txt": _text_documents,
    ".jsonl": _json_documents,
    ".csv": _table_documents,
    ".tsv": _table_documents,
    ".parquet": _parquet_documents,
}
