"""Tables as text: which column holds it, and what parts the columns of a csv or tsv file. Nothing is read at its word.

What parts columns is found in the header and the first rows, or named behind the column: `#COLUMN&delimiter=;`. A row
with more or fewer columns than the header is refused, because it would lose text.
"""

from __future__ import annotations

import csv
import itertools
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from engine.text.token_store import CorpusError

TEXT_COLUMN = "text"  # what the column is called when nobody says
DELIMITERS = {"comma": ",", "semicolon": ";", "tab": "\t", "pipe": "|", "colon": ":", "space": " "}
SAMPLED = 200  # rows that a guess is tried on


class _RowError(CorpusError):
    """A row that cannot be read, by its line alone: whoever knows the file's name says it."""


@dataclass(frozen=True)
class _Dialect:
    """How the rows of a file are written."""

    delimiter: str
    quoted: bool = True  # False: a quotation mark is a letter like any other, as in many files with tabs

    def rows(self, lines: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
        """(number of its first line, row), blank lines left out."""
        quoting: Literal[0, 3] = csv.QUOTE_MINIMAL if self.quoted else csv.QUOTE_NONE
        rows = csv.reader(lines, delimiter=self.delimiter, strict=True, quoting=quoting)
        line = 1
        try:
            for row in rows:
                if row:
                    yield line, row
                line = rows.line_num + 1
        except csv.Error as error:
            if str(error).startswith("new-line"):
                raise _RowError(f"line {line}: it ends with CR alone; save the file with LF or CR LF.") from error
            raise _RowError(f"line {line}: no CSV ({error}); quote whole fields only, or none.") from error


GUESSES = (_Dialect(","), _Dialect(";"), _Dialect("\t"), _Dialect("\t", quoted=False), _Dialect("|"))


def split_column(named: str) -> tuple[str, str]:
    """(column, delimiter) of what stands behind the # of a file's name; the delimiter is one letter or "".

    Raises:
        CorpusError: the delimiter is neither one character nor known by its name.
    """
    column, named_one, delimiter = named.partition("&delimiter=")
    delimiter = DELIMITERS.get(delimiter.lower(), delimiter)
    if named_one and (len(delimiter) != 1 or delimiter in '"\r\n\0'):
        raise CorpusError(
            f"A delimiter is one character or one of {', '.join(DELIMITERS)}, got {delimiter[:20]!r}; "
            "write file:PATH#COLUMN&delimiter=tab."
        )
    return column, delimiter


def table_cells(
    lines: Callable[[], Iterable[str]], name: str, column: str, delimiter: str
) -> Iterator[tuple[str, str]]:
    """(where it stands, text) of every row of the csv or tsv file `name`, whose lines `lines` gives again and again.

    Raises:
        CorpusError: the file is empty, has a header alone, a row does not fit the header, or no column is the text's.
    """
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))  # a document is longer than the usual 131,072 characters
    told = re.fullmatch(
        r'\ufeff?"?sep=([^"\r\n\0])"?\s*', next(iter(lines()), "")
    )  # spreadsheets write it above the header
    skipped = int(told is not None)
    delimiter = delimiter or (told[1] if told else "")

    def rest() -> Iterator[str]:
        return itertools.islice(lines(), skipped, None)

    try:
        dialect = _dialect(rest, column, delimiter, ".tsv" in name.lower())
        rows = dialect.rows(rest())
        _, header = next(rows, (1, []))
        header = [cell.strip() for cell in header]
        if not any(header):
            raise CorpusError(f"{name} is empty; its first line should name the columns, and rows should follow.")
        place = header.index(text_column(header, column, f"{name}, line {1 + skipped}", delimiters=True))
        line = 0
        for line, row in rows:
            where = f"{name}, line {line + skipped}"
            if len(row) != len(header):
                raise CorpusError(
                    f"{where}: {len(row)} columns instead of {len(header)}; put quotation marks around a field that "
                    f"has {dialect.delimiter!r} in it, or name the delimiter as file:PATH#COLUMN&delimiter=tab."
                )
            yield where, row[place]
        if not line:
            raise CorpusError(
                f"{name} has one line, which is read as the names of its columns; put a row with text below it."
            )
    except _RowError as error:
        raise CorpusError(f"{name}, {error}") from error


def _dialect(lines: Callable[[], Iterable[str]], column: str, delimiter: str, tabs: bool) -> _Dialect:
    """How a file is written: as `delimiter` says; else as parts the header best and fits the first rows."""
    guesses = GUESSES if not delimiter else tuple(_Dialect(delimiter, quoted) for quoted in (True, False))
    best, most = (_Dialect("\t") if tabs else GUESSES[0]) if not delimiter else guesses[0], (False, False, 1)
    for guess in guesses:
        found, whole = [], True
        try:
            for _, row in itertools.islice(guess.rows(lines()), SAMPLED):
                found.append(row)
        except _RowError:
            whole = False
        if found:
            header = [cell.strip() for cell in found[0]]
            fits = whole and all(len(row) == len(header) for row in found)
            rank = ((column or TEXT_COLUMN) in header, fits, len(header))
            alone = len(header) == 1 and not (delimiter or (tabs and guess.delimiter == "\t"))
            if rank > most and not alone:
                best, most = guess, rank
    unquoted = _Dialect(best.delimiter, quoted=False)
    return unquoted if best.quoted and unquoted in guesses and _swallows_rows(lines, best, unquoted) else best


def _swallows_rows(lines: Callable[[], Iterable[str]], quoted: _Dialect, unquoted: _Dialect) -> bool:
    """Whether quotation marks hold lines together, or cannot be read, where each line alone is a whole row.

    Looks at the whole file, for the first such mark may come late.
    """
    alone = 0
    width = 0
    for _, row in unquoted.rows(lines()):
        width = width or len(row)
        if len(row) != width or width == 1:
            return False
        alone += 1
    try:
        return sum(1 for _ in quoted.rows(lines())) < alone
    except _RowError:
        return True


def text_column(names: list[str], wanted: str, where: str, delimiters: bool = False) -> str:
    """Which of the columns `names` holds the text. `delimiters`: the names were parted by one, perhaps a wrong one.

    Raises:
        CorpusError: none does, two are called so, or the only one looks like several.
    """
    if names.count(wanted or TEXT_COLUMN) > 1:
        raise CorpusError(
            f"{where}: {names.count(wanted or TEXT_COLUMN)} columns are called {wanted or TEXT_COLUMN!r}."
        )
    if wanted and wanted in names:  # a column without a name, as of row numbers, is not what nobody asked for
        return wanted
    if not wanted and TEXT_COLUMN in names:
        return TEXT_COLUMN
    several = delimiters and len(names) == 1 and (wanted or TEXT_COLUMN) in re.split(r"[^\w ]", names[0])
    if not wanted and len(names) == 1 and not several:
        return names[0]
    missing = f"no column {wanted!r}" if wanted else f"no column {TEXT_COLUMN!r}"
    listed = ", ".join(repr(str(name)[:40]) for name in names[:20]) or "none"
    how = "what parts the columns as file:PATH#COLUMN&delimiter=X" if several else "one as file:PATH#COLUMN"
    raise CorpusError(f"{where}: {missing}, there is {listed}; name {how}.")
