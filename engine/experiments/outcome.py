"""What came out of an experiment, as one small file: rows, seeds, means, intervals, and what it was made with.

Files may come from strangers: everything read is checked, and what is wrong is said in one sentence. No torch.
"""

from __future__ import annotations

import math
import re
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.learning.intervals import mean_interval
from engine.storage.atomic import write_json
from engine.storage.json_file import JsonFileError, read_json

LAYOUT = 1  # of the file: raise it wherever an older reader would misread it
LARGEST = 2_000_000  # bytes
LONGEST_TEXT = 2_000  # characters of a text
MOST_ROWS = 500  # rows of an outcome, files of a folder
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,79}")
FOLDER = "experiments"  # inside a folder of runs


class OutcomeError(ValueError):
    """An outcome that cannot be read, in one sentence."""


@dataclass(frozen=True)
class Summary:
    """One number over seeds."""

    mean: float
    interval: float | None  # half the 95% interval of the mean; None for fewer than two seeds
    values: tuple[float, ...]  # a seed each


@dataclass(frozen=True)
class RowOutcome:
    """What came out of one row."""

    name: str
    label: str
    series: str
    method: str
    note: str
    parameters: int
    shape: dict[str, Any]  # Shape's fields, of the first seed's student; empty: not told
    seeds: tuple[int, ...]
    runs: tuple[str, ...]
    measured: dict[str, Summary]  # measure -> over seeds
    base: str = ""
    differences: dict[str, Summary] = field(default_factory=dict)  # measure -> row minus base, seed by seed
    paper: float | None = None
    paper_parameters: str = ""  # as the paper prints them; "said" in the file


@dataclass(frozen=True)
class Outcome:
    """One experiment's outcome."""

    name: str
    title: str
    about: str
    measures: tuple[str, ...]  # the first is shown first
    rows: tuple[RowOutcome, ...]
    nulls: dict[str, float]  # measure -> what one gets for nothing
    paper: str
    paper_score: str
    wanted_runs: int
    card: dict[str, Any]  # command, date, seconds, machine, versions, settings

    @property
    def complete(self) -> bool:
        """Whether every run is in it."""
        return sum(len(row.runs) for row in self.rows) == self.wanted_runs

    def row(self, name: str) -> RowOutcome | None:
        """The row called `name`, if there is one."""
        return next((row for row in self.rows if row.name == name), None)


def summarise(values: Sequence[float]) -> Summary:
    """Mean and interval of `values`, one a seed; there must be one at least."""
    return Summary(statistics.fmean(values), mean_interval(values), tuple(values))


def differences_from_base(row: RowOutcome, base: RowOutcome) -> dict[str, Summary]:
    """measure -> `row` minus `base` over the seeds that both have: the same seed sees the same text in the same order.

    A base with a single value, which no seed moves, is taken off every seed.
    """
    found = {}
    for name in row.measured.keys() & base.measured.keys():
        ours = dict(zip(row.seeds, row.measured[name].values, strict=False))
        theirs = dict(zip(base.seeds, base.measured[name].values, strict=False))
        both = [seed for seed in row.seeds if seed in ours and seed in theirs]
        if both:
            found[name] = summarise([ours[seed] - theirs[seed] for seed in both])
    return dict(sorted(found.items()))


def write_outcome(outcome: Outcome, folder: Path) -> Path:
    """Writes the outcome into `folder`, made if need be, as NAME.json; whole or not at all. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{outcome.name}.json"
    record = asdict(outcome)
    for row in record["rows"]:
        row["said"] = row.pop("paper_parameters")
    write_json(path, {"layout": LAYOUT, **record})
    return path


def read_outcome(path: Path) -> Outcome:
    """The outcome in a file.

    Raises:
        OutcomeError: it is missing, too large, damaged, or not an outcome.
    """
    try:
        return _read_record(read_json(path, LARGEST, links=False, strict=True))
    except OutcomeError as error:
        raise OutcomeError(f"The experiment in {path.name} cannot be shown: {error}") from error
    except JsonFileError as error:
        raise OutcomeError(f"The experiment in {path.name} cannot be shown: the file {error}.") from error
    except OSError as error:
        raise OutcomeError(
            f"The experiment in {path.name} cannot be read ({type(error).__name__}); run its recipe again."
        ) from error


def list_outcomes(folder: Path) -> tuple[list[Outcome], list[str]]:
    """The outcomes in `folder`, by name, and a sentence for each file that cannot be shown."""
    try:
        paths = sorted(folder.glob("*.json"))[:MOST_ROWS] if folder.is_dir() else []
    except OSError as error:
        return [], [f"The folder {folder.name} cannot be read: {error.strerror}."]
    found, problems = [], []
    for path in paths:
        try:
            found.append(read_outcome(path))
        except OutcomeError as error:
            problems.append(str(error))
    return found, problems


# ---- from plain values, checked -------------------------------------------------------------------------------------


def _read_record(data: Any) -> Outcome:
    record = _record(data, "the file")
    if record.get("layout") != LAYOUT:
        raise OutcomeError(f"its layout is {str(record.get('layout'))[:20]}, and {LAYOUT} was expected.")
    rows = tuple(map(_read_row, _list(record, "rows")))
    names = [row.name for row in rows]
    if len(set(names)) < len(names):
        raise OutcomeError("two of its rows have one name.")
    name = _text(record, "name")
    if not NAME.fullmatch(name):
        raise OutcomeError("its name has other signs than small letters, digits and dashes.")
    return Outcome(
        name,
        _text(record, "title"),
        _text(record, "about"),
        tuple(str(_short(it, "measures")) for it in _list(record, "measures")),
        rows,
        {_short(key, "nulls"): _number(value, "nulls") for key, value in _record(record.get("nulls"), "nulls").items()},
        _text(record, "paper"),
        _text(record, "paper_score"),
        _whole_number(record, "wanted_runs"),
        _record(record.get("card"), "card"),
    )


def _read_row(data: Any) -> RowOutcome:
    record = _record(data, "a row")
    seeds = tuple(int(_number(seed, "seeds")) for seed in _list(record, "seeds"))
    runs = tuple(_short(run, "runs") for run in _list(record, "runs"))
    paper = record.get("paper")
    return RowOutcome(
        _text(record, "name"),
        _text(record, "label"),
        _text(record, "series"),
        _text(record, "method"),
        _text(record, "note"),
        _whole_number(record, "parameters"),
        _record(record.get("shape"), "shape"),
        seeds,
        runs,
        _read_summaries(record, "measured"),
        _text(record, "base"),
        _read_summaries(record, "differences"),
        None if paper is None else _number(paper, "paper"),
        _text(record, "said"),
    )


def _read_summaries(record: dict[str, Any], name: str) -> dict[str, Summary]:
    found = {}
    for key, value in _record(record.get(name), name).items():
        one = _record(value, name)
        values = tuple(_number(it, name) for it in _list(one, "values"))
        interval = one.get("interval")
        if not values:
            raise OutcomeError(f"its {name} have no values.")
        found[_short(key, name)] = Summary(
            _number(one.get("mean"), name), None if interval is None else abs(_number(interval, name)), values
        )
    return found


def _record(value: Any, where: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise OutcomeError(f"{where} should be a set of named values, and is {type(value).__name__}.")
    return value


def _list(record: dict[str, Any], name: str) -> list[Any]:
    value = record.get(name)
    if not isinstance(value, list) or len(value) > MOST_ROWS:
        raise OutcomeError(f"{name} should be a list of at most {MOST_ROWS} things.")
    return value


def _text(record: dict[str, Any], name: str) -> str:
    return _short(record.get(name), name)


def _short(value: Any, name: str) -> str:
    if not isinstance(value, str) or len(value) > LONGEST_TEXT:
        raise OutcomeError(f"{name} should be a text of at most {LONGEST_TEXT:,} characters.")
    return value


def _whole_number(record: dict[str, Any], name: str) -> int:
    value = record.get(name)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 10**15:
        raise OutcomeError(f"{name} should be a whole number, not below zero.")
    return value


def _number(value: Any, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30 or math.isnan(value):
        raise OutcomeError(f"{name} should be numbers.")
    return float(value)
