"""Whether a student's heads behave like their ancestors: one correlation, its interval and its null."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.elements.figure import show_figure
from app.elements.heatmaps import heatmap
from app.elements.text import escape_markdown
from app.elements.theme import Theme
from app.elements.tiles import tile_row
from app.examine.ancestry.charts import labelled_scatter
from app.examine.labels import head_names, interval_text, minus, p_value
from app.examine.model_pair import ModelPair
from app.session import caches
from app.session.browser import recall
from engine.inspection.kinship import Kinship, KinshipError, attention_likeness, kinship
from engine.inspection.lineage import Lineage
from engine.text.token_store import CorpusError

LIKENESS_ROWS = 32  # rows of held-out text that likeness is taken over


def show_kinship(pair: ModelPair, lineage: Lineage, shares: Sequence[np.ndarray], colours: Theme) -> None:
    """Draws it. `shares`: (student head, teacher head) of each of the student's layers."""
    st.markdown("#### Does a head behave like its ancestors?")
    if not pair.same_vocabulary:
        st.info("Teacher and student cut text into different tokens, so their attention cannot be compared.")
        return
    try:
        alike = _likeness(pair, lineage)
        found = kinship(shares, alike)
    except (CorpusError, KinshipError) as error:
        st.warning(escape_markdown(error), icon=":material/info:")
        return
    tile_row(
        [
            ("Rank correlation", minus(found.correlation), f"95%: {interval_text(found.low, found.high)}"),
            ("By chance", interval_text(found.null_low, found.null_high), f"p = {p_value(found.p)}"),
            matched_tile("Most like the chief ancestor", found),
        ]
    )
    left, right = st.columns(2, gap="large")
    with left:
        _share_scatter(lineage, shares, alike, colours)
    with right:
        _likeness_heatmap(lineage, alike, colours)
    st.caption(_explanation(found))


def matched_tile(label: str, found: Kinship) -> tuple[str, str, str]:
    """A tile: how many of the student's heads are most like their chief ancestor, and how many by chance."""
    by_chance = found.matched_by_chance * found.heads
    return label, f"{round(found.matched * found.heads)} of {found.heads}", f"by chance {by_chance:.1f}"


def _share_scatter(lineage: Lineage, shares: Sequence[np.ndarray], alike: Sequence[np.ndarray], colours: Theme) -> None:
    """Share of ancestry against likeness of attention, a point a pair of heads."""
    x, y = np.concatenate([a.ravel() for a in shares]), np.concatenate([b.ravel() for b in alike])
    chief = np.concatenate([(a == a.max(1, keepdims=True)).ravel() for a in shares])
    labels = [
        f"student {layer + 1}.{row + 1}, teacher {lineage.layers[layer] + 1}.{column + 1}"
        for layer, a in enumerate(shares)
        for row in range(a.shape[0])
        for column in range(a.shape[1])
    ]
    st.markdown("**Every pair of heads**")
    show_figure(
        labelled_scatter(
            np.maximum(x, 1e-5),
            y,
            labels,
            ("share of ancestry", "likeness of attention"),
            colours,
            chief=chief,
            log=True,
        ),
        "ancestry_scatter",
        "Share of ancestry against likeness of attention, a point a pair of heads.",
    )


def _likeness_heatmap(lineage: Lineage, alike: Sequence[np.ndarray], colours: Theme) -> None:
    """Of the layer that is chosen above."""
    layer = min(int(recall("ancestry_layer", 0) or 0), len(alike) - 1)
    st.markdown(f"**Likeness of attention**, layer {layer + 1}")
    show_figure(
        heatmap(
            alike[layer],
            head_names(lineage.student.heads),
            head_names(lineage.teacher.heads),
            ("student's", "teacher's"),
            colours.student,
            colours,
            hover="student's %{y} and the teacher's %{x}",
            height=340,
        ),
        "ancestry_likeness",
        "How alike each student head and each teacher head of this layer look.",
    )


def _explanation(found: Kinship) -> str:
    return (
        f"Likeness: 1 minus the Jensen-Shannon divergence (in bits) of two heads' attention, the mean over the words "
        f"of {LIKENESS_ROWS} held-out rows; special tokens and padding are left out. Rank correlation: Spearman's, "
        f"within each of the student's {found.heads} heads, the mean over them; its interval takes heads as "
        "what was drawn. By chance: where 95% of the correlations lie when the teacher's heads of each layer change "
        "places by lot. If every head were most like its chief ancestor and the small shares meant nothing, it would "
        f"be {found.chief_only:.2f}: more than that says that the small shares count too."
    )


def _likeness(pair: ModelPair, lineage: Lineage) -> list[np.ndarray]:
    """Of each of the student's layers (student head, teacher head), computed once."""

    def make() -> list[np.ndarray]:
        from engine.learning.held_out import attention_maps

        bar = st.progress(0.0, "Looking at attention")
        rows = pair.held_out_rows()
        rows = rows[:: max(1, len(rows) // LIKENESS_ROWS)][:LIKENESS_ROWS]
        maps = {role: list(attention_maps(pair.copy_of(role), rows, pair.pad_token_id)) for role in pair.models}
        special = np.array(pair.student.tokenizer.all_special_ids)
        word_masks = [
            ~np.isin(row[: seen[0].shape[-1]], special) for row, seen in zip(rows, maps["Teacher"], strict=True)
        ]
        likenesses = []
        for layer, origin in enumerate(lineage.layers):
            student_maps, teacher_maps = (
                [seen[layer] for seen in maps["Student"]],
                [seen[origin] for seen in maps["Teacher"]],
            )
            likenesses.append(attention_likeness(student_maps, teacher_maps, word_masks))
            bar.progress((layer + 1) / len(lineage.layers), f"Comparing heads, layer {layer + 1}")
        bar.empty()
        return likenesses

    return caches.compute_once(("likeness", pair.student_key, pair.teacher_key), make)
