"""ALBERT's tables as grids: what layers share, how wide embeddings are, what is asked of two segments.

The shapes are the paper's (arXiv 1909.11942, sections 4.4 to 4.6), scaled: 12 x 768 becomes 4 x 48, and the embedding
sizes 64, 128 and 256 of 768 become the same shares of 48; in English 4 x 192, and shares of 192. Fresh weights are
scaled, too: their deviation times the root of the width is the paper's, so that what a layer passes on is as large as
there. At E = H the embeddings are as wide as the layers; the projection between them stays, where the paper's E = 768
has none.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from engine.experiments.grid import NLTK_ENGLISH, Grid, Row
from engine.sizing.published_tables import (
    EMBEDDING_SIZE,
    SCORE,
    SENTENCE_ORDER,
    SENTENCE_ORDER_SOURCE,
    SHARING,
    PublishedTable,
)

PAPER_HIDDEN = 768
MEASURED = ("masked_accuracy", "pair_accuracy")
ORDER = {"none": "masked words only", "nsp": "next sentence", "sop": "sentence order"}
NOT_SHARED, ALL_SHARED = "nothing shared", "all shared"


@dataclass(frozen=True)
class Scale:
    """How small the tables are replayed, and on which text."""

    suffix: str  # of the recipes' names
    teacher: str  # whose tokenizer and text it is
    corpus: str
    layers: int
    hidden: int
    heads: int
    steps: int
    batch: int
    lr: float
    text: str  # what `about` says of it
    task: str  # a linear probe on the students tells more than words do

    @property
    def settings(self) -> dict[str, Any]:
        """What all rows have in common."""
        return {
            "teacher": self.teacher,
            "method": "albert",
            "student": {"layers": self.layers, "hidden": self.hidden, "heads": self.heads},
            "corpus": self.corpus,
            "steps": self.steps,
            "batch": self.batch,
            "length": 64,
            "evaluations": 1,
            "checkpoints": 2,
        }

    @property
    def options(self) -> dict[str, Any]:
        """Of the method."""
        return {"lr": self.lr, "deviation": round(0.02 * math.sqrt(PAPER_HIDDEN / self.hidden), 3)}

    @property
    def about(self) -> str:
        """Its size in words."""
        return f"replayed small ({self.layers} x {self.hidden}, {self.text}, {self.steps:,} steps)"

    def embedding(self, papers: int) -> int:
        """The embedding size that is the same share of this width as `papers` is of the paper's."""
        return papers * self.hidden // PAPER_HIDDEN


MICROWORLD = Scale("", "microworld", "microworld", 4, 48, 4, 1000, 32, 3e-3, "211 words", "grammar")
IN_ENGLISH = Scale(
    "-english", "minilm-original", NLTK_ENGLISH, 4, 192, 4, 1000, 64, 1e-3, "30,522 tokens", "sentence_polarity"
)


def share_of_width(embedding: int) -> str:
    """An embedding size as what it is of the width, which is the same here and in the paper."""
    return "E = H" if embedding == PAPER_HIDDEN else f"E = H/{PAPER_HIDDEN // embedding}"


def _row(
    scale: Scale,
    sharing: str,
    embedding: int,
    series: str,
    label: str,
    base: str,
    table: PublishedTable,
    place: tuple[str, str],
) -> Row:
    """The row that replays the point of `table` at (series, label) `place`."""
    point = next(point for point in table.rows if (point.series, point.label) == place)
    options = {"sharing": sharing, "embedding": scale.embedding(embedding), "pairs": "sop", **scale.options}
    name = _name(scale, sharing, embedding)
    return Row(name, label, series, {"options": options}, base, paper=point.score, said=point.printed_parameters)


def _name(scale: Scale, sharing: str, embedding: int) -> str:
    return f"{sharing}-{scale.embedding(embedding)}"


def sharing_table(scale: Scale) -> Grid:
    """ALBERT's Table 4: what layers share, at two embedding sizes."""
    return Grid(
        f"albert-sharing{scale.suffix}",
        f"What layers share{_where(scale)}",
        f"ALBERT's Table 4, {scale.about}: all, attention, FFN or nothing shared, at two embedding sizes.",
        scale.settings,
        tuple(
            _row(
                scale,
                sharing,
                embedding,
                share_of_width(embedding),
                label,
                "" if sharing == "none" else _name(scale, "none", embedding),
                SHARING,
                (f"E = {embedding}", label),
            )
            for embedding in (768, 128)
            for sharing, label in (("none", "nothing"), ("attention", "attention"), ("ffn", "FFN"), ("all", "all"))
        ),
        (*MEASURED, scale.task),
        SHARING.source,
        SCORE,
    )


def embedding_table(scale: Scale) -> Grid:
    """ALBERT's Table 3: four embedding sizes, with layers of their own and with all shared."""
    return Grid(
        f"albert-embedding{scale.suffix}",
        f"Embedding size{_where(scale)}",
        f"ALBERT's Table 3, {scale.about}: four embedding sizes, with layers of their own and with all shared.",
        scale.settings,
        tuple(
            _row(
                scale,
                sharing,
                embedding,
                series,
                share_of_width(embedding),
                "" if embedding == PAPER_HIDDEN else _name(scale, sharing, PAPER_HIDDEN),
                EMBEDDING_SIZE,
                (series, f"E = {embedding}"),
            )
            for sharing, series in (("none", NOT_SHARED), ("all", ALL_SHARED))
            for embedding in (64, 128, 256, 768)
        ),
        (*MEASURED, scale.task),
        EMBEDDING_SIZE.source,
        SCORE,
    )


def sentence_order_table(scale: Scale) -> Grid:
    """ALBERT's Table 5: what is asked of two segments."""
    embedding = scale.embedding(128)
    return Grid(
        f"albert-sentence-order{scale.suffix}",
        f"What is asked of two segments{_where(scale)}",
        f"ALBERT's Table 5, {scale.about}: models that learned masked words only, the next sentence or the order of "
        "two segments, each asked for all three.",
        scale.settings,
        tuple(
            Row(
                objective.trained_on,
                ORDER[objective.trained_on],
                "",
                {"options": {"sharing": "all", "embedding": embedding, "pairs": objective.trained_on, **scale.options}},
                "" if objective.trained_on == "none" else "none",
                paper=objective.score,
            )
            for objective in SENTENCE_ORDER
        ),
        ("masked_accuracy", "nsp", "sop", "pair_accuracy", "mlm", scale.task),
        SENTENCE_ORDER_SOURCE,
        SCORE,
    )


def _where(scale: Scale) -> str:
    return ", in English" if scale is IN_ENGLISH else ""


ALBERT_TABLES = tuple(
    table(scale)
    for scale in (MICROWORLD, IN_ENGLISH)
    for table in (sharing_table, embedding_table, sentence_order_table)
)
