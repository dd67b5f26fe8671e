"""An experiment as a grid: rows, each the settings of a run, times seeds. Knows no result, no method and no torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from engine.settings.options import ConfigError
from engine.settings.run_config import RunConfig

# what can be measured of a row's students; percentages are kept as shares, 0 to 1
MEASURES = {
    "masked_accuracy": "masked accuracy",
    "retained": "of the teacher's masked accuracy, retained",
    "grammar": "grammaticality",
    "sentence_polarity": "polarity of reviews",
    "subjectivity": "opinion or plot",
    "qc": "kinds of questions",
    "rte": "entailment",
    "pair_accuracy": "pairs, own head",
    "mlm": "masked words of whole stories",
    "nsp": "next sentence, read out",
    "sop": "sentence order, read out",
}
NLTK_ENGLISH = "nltk:brown+movie_reviews+abc+webtext+state_union+inaugural"  # what experiments in English read
PROBE_TASKS = ("grammar", "sentence_polarity")  # tasks that a linear probe on a row's students is scored on
OVERRIDES = ("teacher", "corpus", "steps", "batch", "precision", "device")  # settings that a person may change


@dataclass(frozen=True)
class Row:
    """One row of a table: how its runs differ from those of the other rows."""

    name: str  # unique in its grid
    label: str
    series: str = ""  # rows of one series stand together
    changes: Mapping[str, Any] = field(default_factory=dict)  # RunConfig's fields
    base: str = ""  # the row that this one is compared with, seed by seed; empty: none
    note: str = ""  # what a reader must know of this row
    paper: float | None = None  # the paper's score of this row, as printed
    paper_parameters: str = ""  # as the paper prints them


@dataclass(frozen=True)
class Grid:
    """One experiment."""

    name: str
    title: str
    about: str
    settings: Mapping[str, Any]  # RunConfig's fields that all rows have in common
    rows: tuple[Row, ...]
    measures: tuple[str, ...]  # among MEASURES, the one to be shown first in front
    paper: str = ""  # the table that is replayed
    paper_score: str = ""  # what its scores are
    seeds: int = 3
    timed: bool = False  # True: how long its runs took is part of the answer
    with_teacher: bool = False  # True: the teacher is a row of its own

    def row(self, name: str) -> Row:
        """The row called `name`; KeyError if there is none."""
        return {row.name: row for row in self.rows}[name]

    def config(self, row: Row, seed: int) -> RunConfig:
        """What the run of `row` with this seed is set to.

        Raises:
            ConfigError: a setting is out of range.
        """
        return RunConfig(**{**self.settings, **row.changes, "seed": seed})

    def with_changes(self, seeds: int | None = None, **overrides: Any) -> Grid:
        """The grid with those of `overrides`, settings named in OVERRIDES, that are not None.

        Rows that set one of them for themselves keep their own; runs of no steps stay so.

        Raises:
            ConfigError: a setting cannot be changed, or there would be no seed.
        """
        wrong = sorted(set(overrides) - set(OVERRIDES))
        if wrong:
            raise ConfigError([f"{', '.join(wrong)} cannot be changed here; change {', '.join(OVERRIDES)}."])
        if seeds is not None and seeds < 1:
            raise ConfigError([f"At least one seed is needed, got {seeds}; three show how far runs spread."])
        changes = {name: value for name, value in overrides.items() if value is not None}
        return replace(self, settings={**self.settings, **changes}, seeds=seeds or self.seeds)
