"""Numbers that papers print, for pages to set beside what is computed. Nothing here was measured by this project.

Scores are averages over the papers' own tasks; an own model has none, only a size.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.sizing.shape import Shape


@dataclass(frozen=True)
class TableRow:
    """One row of a paper's table."""

    series: str
    label: str
    shape: Shape
    printed_parameters: str  # parameters as printed
    score: float  # as printed


@dataclass(frozen=True)
class PublishedTable:
    """A table of a paper, its rows as shapes that can be counted."""

    title: str
    source: str
    score: str  # what the scores are
    rows: tuple[TableRow, ...]


@dataclass(frozen=True)
class SentenceObjectiveRow:
    """One row of ALBERT's Table 5: a model that learned masked words and this about pairs, asked for three things."""

    trained_on: str  # none, nsp or sop
    mlm: float  # accuracies in percent, as printed
    nsp: float
    sop: float
    score: float  # as printed


SCORE = "average of five tasks on their dev sets, as printed"
LAN = "Lan et al., arXiv 1909.11942"


def _base(embedding: int, sharing: str) -> Shape:
    """ALBERT-base as the paper varies it; at E = 768 it factorises nothing."""
    return Shape(
        vocab=30_000,
        embedding=embedding,
        family="bert" if embedding == 768 else "albert",
        sharing=sharing,
        pooler=True,
        mlm_head=False,
        activation="gelu_new",
    )


def _rows(series: str, sharing: str, rows: tuple[tuple[int, str, float], ...]) -> tuple[TableRow, ...]:
    return tuple(TableRow(series, f"E = {e}", _base(e, sharing), said, score) for e, said, score in rows)


def _shared(series: str, embedding: int, rows: tuple[tuple[str, str, str, float], ...]) -> tuple[TableRow, ...]:
    return tuple(TableRow(series, label, _base(embedding, kind), said, score) for kind, label, said, score in rows)


EMBEDDING_SIZE = PublishedTable(
    "Embedding size (ALBERT, Table 3)",
    f"{LAN}, Table 3",
    SCORE,
    _rows("nothing shared", "none", ((64, "87M", 81.3), (128, "89M", 81.7), (256, "93M", 81.8), (768, "108M", 82.3)))
    + _rows("all shared", "all", ((64, "10M", 79.0), (128, "12M", 80.1), (256, "16M", 79.6), (768, "31M", 79.8))),
)
SHARING = PublishedTable(
    "What layers share (ALBERT, Table 4)",
    f"{LAN}, Table 4",
    SCORE,
    _shared(
        "E = 768",
        768,
        (
            ("all", "all", "31M", 79.8),
            ("attention", "attention", "83M", 81.6),
            ("ffn", "FFN", "57M", 79.5),
            ("none", "nothing", "108M", 82.3),
        ),
    )
    + _shared(
        "E = 128",
        128,
        (
            ("all", "all", "12M", 80.1),
            ("attention", "attention", "64M", 81.7),
            ("ffn", "FFN", "38M", 80.2),
            ("none", "nothing", "89M", 81.6),
        ),
    ),
)
TABLES = (EMBEDDING_SIZE, SHARING)
SENTENCE_ORDER = (
    SentenceObjectiveRow("none", 54.9, 52.4, 53.3, 79.0),
    SentenceObjectiveRow("nsp", 54.5, 90.5, 52.0, 79.2),
    SentenceObjectiveRow("sop", 54.0, 78.9, 86.5, 80.1),
)
SENTENCE_ORDER_SOURCE = f"{LAN}, Table 5"
# Of BERT base's quality, as reported; the paper's own tables were not at hand.
WID_RETAINED = (("WID55", "98.9%"), ("WID11", "90.9%"))
WID_RETAINED_SOURCE = "Wu et al., arXiv 2305.09098, as a summary of the paper reports it"
