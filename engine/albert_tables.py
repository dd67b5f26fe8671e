"""ALBERT's tables as grids: what layers share, how wide embeddings are, what is asked of two segments.

The shapes are the paper's (arXiv 1909.11942, sections 4.4 to 4.6), scaled: 12 x 768 becomes 4 x 48, and the embedding
sizes 64, 128 and 256 of 768 become the same shares of 48. Fresh weights are scaled, too: their deviation times the root
of the width is the paper's, so that what a layer passes on is as large as there. At E = H the embeddings are as wide as
the layers; the projection between them stays, where the paper's E = 768 has none.
"""

from __future__ import annotations

from typing import Any

from engine.grid import Grid, Row
from engine.published import EMBEDDING_SIZE, SCORE, SENTENCE_ORDER, SENTENCE_ORDER_SOURCE, SHARING, Table

LAYERS, HIDDEN, HEADS = 4, 48, 4
PAPER_HIDDEN = 768
SETTINGS: dict[str, Any] = {
    "teacher": "microworld",
    "method": "albert",
    "student": {"layers": LAYERS, "hidden": HIDDEN, "heads": HEADS},
    "corpus": "microworld",
    "steps": 1000,
    "batch": 32,
    "length": 64,
    "evaluations": 1,
    "checkpoints": 2,
}
LR = 3e-3
DEVIATION = 0.08  # 0.02 x sqrt(768 / 48)
COMMON: dict[str, Any] = {"lr": LR, "deviation": DEVIATION}
MEASURED = ("masked_accuracy", "pair_accuracy", "grammar")
ORDER = {"none": "masked words only", "nsp": "next sentence", "sop": "sentence order"}
NOT_SHARED, ALL_SHARED = "nothing shared", "all shared"


def scaled(embedding: int) -> int:
    """The embedding size of the small model that is the same share of its width."""
    return embedding * HIDDEN // PAPER_HIDDEN


def share_of_width(embedding: int) -> str:
    """An embedding size as what it is of the width, which is the same here and in the paper."""
    return "E = H" if embedding == PAPER_HIDDEN else f"E = H/{PAPER_HIDDEN // embedding}"


def _row(sharing: str, embedding: int, series: str, label: str, base: str, table: Table, place: tuple[str, str]) -> Row:
    """The row that replays the point of `table` at (series, label) `place`."""
    point = next(point for point in table.points if (point.series, point.label) == place)
    options = {"sharing": sharing, "embedding": scaled(embedding), "pairs": "sop", **COMMON}
    return Row(_name(sharing, embedding), label, series, {"options": options}, base, paper=point.score, said=point.said)


def _name(sharing: str, embedding: int) -> str:
    return f"{sharing}-{scaled(embedding)}"


ALBERT_SHARING = Grid(
    "albert-sharing",
    "What layers share",
    "ALBERT's Table 4, replayed small (4 x 48, 211 words, 1,000 steps): "
    "all, attention, FFN or nothing shared, at two embedding sizes.",
    SETTINGS,
    tuple(
        _row(
            sharing,
            embedding,
            share_of_width(embedding),
            label,
            "" if sharing == "none" else _name("none", embedding),
            SHARING,
            (f"E = {embedding}", label),
        )
        for embedding in (768, 128)
        for sharing, label in (("none", "nothing"), ("attention", "attention"), ("ffn", "FFN"), ("all", "all"))
    ),
    MEASURED,
    SHARING.source,
    SCORE,
)
ALBERT_EMBEDDING = Grid(
    "albert-embedding",
    "Embedding size",
    "ALBERT's Table 3, replayed small (4 x 48, 211 words, 1,000 steps): "
    "four embedding sizes, with layers of their own and with all shared.",
    SETTINGS,
    tuple(
        _row(
            sharing,
            embedding,
            series,
            share_of_width(embedding),
            "" if embedding == PAPER_HIDDEN else _name(sharing, PAPER_HIDDEN),
            EMBEDDING_SIZE,
            (series, f"E = {embedding}"),
        )
        for sharing, series in (("none", NOT_SHARED), ("all", ALL_SHARED))
        for embedding in (64, 128, 256, 768)
    ),
    MEASURED,
    EMBEDDING_SIZE.source,
    SCORE,
)
ALBERT_SENTENCE_ORDER = Grid(
    "albert-sentence-order",
    "What is asked of two segments",
    "ALBERT's Table 5, replayed small (4 x 48, 211 words, 1,000 steps): "
    "models that learned masked words only, the next sentence or the order of two "
    "segments, each asked for all three.",
    SETTINGS,
    tuple(
        Row(
            objective.trained_on,
            ORDER[objective.trained_on],
            "",
            {"options": {"sharing": "all", "embedding": scaled(128), "pairs": objective.trained_on, **COMMON}},
            "" if objective.trained_on == "none" else "none",
            paper=objective.score,
        )
        for objective in SENTENCE_ORDER
    ),
    ("masked_accuracy", "nsp", "sop", "pair_accuracy", "mlm", "grammar"),
    SENTENCE_ORDER_SOURCE,
    SCORE,
)
