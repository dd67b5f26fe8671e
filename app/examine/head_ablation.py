"""Which heads a model misses most, and whether an heir is missed as its ancestor is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import streamlit as st

from app.elements.buttons import csv_button
from app.elements.figure import show_figure
from app.elements.heatmaps import common_limits, heatmap
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.elements.theme import Theme
from app.elements.tiles import tile_row
from app.examine.ancestry.charts import labelled_scatter
from app.examine.ancestry.kinship import matched_tile
from app.examine.ancestry.lineage import choose_student_layer, read_student_lineage
from app.examine.labels import head_label, head_names, interval_text, layer_names, minus, p_value, signed
from app.examine.model_pair import ModelPair
from app.session import caches
from engine.inspection.kinship import KinshipError, kinship, rank_correlation
from engine.text.token_store import CorpusError

if TYPE_CHECKING:
    from engine.inspection.head_ablation import HeadAblation


def show_ranking(pair: ModelPair, how: str, folder: Path, colours: Theme) -> None:
    """A button, and below it what each head is missed by. `how`: off or uniform; `folder`: the student's."""
    st.caption(
        "Each head of both models is taken away by itself, and the loss on the hidden words of "
        f"{pair.ranking_rows} held-out rows is asked anew."
    )
    ready = all(caches.is_computed(*pair.damage_key(role, how)) for role in pair.models)
    place = st.empty()
    if not ready and not place.button("Rank all heads", icon=":material/format_list_numbered:", type="primary"):
        return
    place.empty()
    found, bar = {}, st.empty()
    try:
        for number, role in enumerate(pair.models):

            def say(share: float, role: str = role, number: int = number) -> None:
                bar.progress((number + share) / 2, f"{role}: one head after the other, {share:.0%}")

            found[role] = pair.damage(role, how, say)
    except CorpusError as error:
        bar.empty()
        st.warning(escape_markdown(error), icon=":material/info:")
        return
    bar.empty()
    _damage_heatmaps(found, colours)
    _damage_table(found, how, colours)
    _ancestors_and_heirs(pair, found, folder, colours)


def _damage_heatmaps(found: dict[str, HeadAblation], colours: Theme) -> None:
    """What each head is missed by, both models on one scale."""
    tables = {role: damage.by_layer() for role, damage in found.items()}
    limits = common_limits(*tables.values())
    for column, (role, values) in zip(st.columns(2, gap="large"), tables.items(), strict=True):
        with column:
            st.markdown(f"**{role}**: change of the loss, nats a hidden word")
            show_figure(
                heatmap(
                    values,
                    layer_names(values.shape[0]),
                    head_names(values.shape[1]),
                    ("", ""),
                    colours.role(role),
                    colours,
                    hover=f"{role.lower()}'s %{{y}}, %{{x}}",
                    limits=limits,
                    number_format="+.3f" if values.shape[1] <= 6 else "+.2f",
                ),
                f"damage_{role}",
                f"What each of the {role.lower()}'s heads is missed by.",
                csv_key="damage_csv",
            )


def _damage_table(found: dict[str, HeadAblation], how: str, colours: Theme) -> None:
    """All heads, those first that are missed most."""
    head = ["rank", "model", "head", "change of the loss, nats", "± 95%"]
    rows = []
    for role, damage in found.items():
        means, intervals = damage.means, damage.intervals
        for rank, place in enumerate(np.argsort(-means, kind="stable"), start=1):
            label = head_label(*damage.heads[place])
            rows.append([str(rank), role, label, signed(means[place], 4), f"{intervals[place]:.4f}"])
    with st.expander("Ranked, as a table"):
        st.html(html_table(head, rows, colours))
        csv_button(head, rows, f"damage-{how}", "damage_csv")
    st.caption(
        "Above 0: the head is missed; below 0: without it the model guesses better. One scale for both models. A head "
        "whose interval holds 0 is not known to matter."
    )


def _ancestors_and_heirs(pair: ModelPair, found: dict[str, HeadAblation], folder: Path, colours: Theme) -> None:
    """Whether an heir is missed as its ancestors are. `folder`: where the student and its lineage are kept."""
    from engine.inspection.head_ablation import ablation_correlation

    try:
        lineage = read_student_lineage(pair, folder)
    except ValueError as error:
        st.warning(escape_markdown(error), icon=":material/broken_image:")
        return
    if lineage is None or not pair.same_vocabulary:
        return
    st.markdown("#### Switch off an ancestor, watch the heir")
    teacher, student = found["Teacher"], found["Student"]
    shares = [lineage.head_shares(layer) for layer in range(lineage.student.layers)]
    ancestors = np.concatenate(
        [share @ teacher.of_layer(origin).mean(1) for share, origin in zip(shares, lineage.layers, strict=True)]
    )
    alike = [ablation_correlation(student, teacher, layer, origin) for layer, origin in enumerate(lineage.layers)]
    _heir_tiles(ancestors, student, shares, alike)
    left, right = st.columns(2, gap="large")
    with left:
        _heir_scatter(ancestors, student, colours)
    with right:
        layer = choose_student_layer(lineage, "heirs_layer", "Where it hurts: layer of the student")
        show_figure(
            heatmap(
                alike[layer],
                head_names(alike[layer].shape[0]),
                head_names(alike[layer].shape[1]),
                ("heir", "ancestor"),
                colours.student,
                colours,
                hover="heir %{y}, ancestor %{x}",
                limits=(-1.0, 1.0),
            ),
            "heirs_words",
            "Correlation over words of what is lost without a head of the student and without one of the teacher.",
        )
    st.caption(
        f"As much missed: Spearman's correlation, over the {len(ancestors)} heads of the student, between an heir's "
        "damage and its ancestors', weighted by their shares. On the same words: Pearson's correlation over the "
        f"{len(student.targets):,} hidden words between what is lost at each without the heir and without a head of "
        "the teacher; then, as under Ancestry, the rank correlation of that with the shares, within each heir. "
        "Intervals take heads, or words, as what was drawn."
    )


def _heir_tiles(
    ancestors: np.ndarray, student: HeadAblation, shares: Sequence[np.ndarray], alike: Sequence[np.ndarray]
) -> None:
    """How far heirs are missed as their ancestors are, beside chance; says why where it cannot be told.

    `ancestors`: (student head,) damage of each head's ancestors. `shares`, `alike`: (student head, teacher head) of
    each of the student's layers.
    """
    tiles, chance = [], []
    try:
        amount = rank_correlation(ancestors, student.means)
        tiles.append(("As much missed", minus(amount.value), f"95%: {interval_text(amount.low, amount.high)}"))
        chance.append(f"{interval_text(amount.null_low, amount.null_high)} (as much, p = {p_value(amount.p)})")
    except KinshipError as error:
        st.caption(escape_markdown(error))
    try:
        words = kinship(shares, alike)
        tiles.append(("On the same words", minus(words.correlation), f"95%: {interval_text(words.low, words.high)}"))
        tiles.append(matched_tile("Most like the chief", words))
        chance.append(f"{interval_text(words.null_low, words.null_high)} (same words, p = {p_value(words.p)})")
    except KinshipError as error:
        st.caption(escape_markdown(error))
    tile_row(tiles)
    if chance:
        st.caption(f"By chance, with heads shuffled, 95% lie between {' and '.join(chance)}.")


def _heir_scatter(ancestors: np.ndarray, student: HeadAblation, colours: Theme) -> None:
    st.markdown("**How much** each heir is missed, and its ancestors")
    show_figure(
        labelled_scatter(
            ancestors,
            student.means,
            [f"student's {head_label(layer, head)}" for layer, head in student.heads],
            ("ancestors' damage, nats", "heir's damage, nats"),
            colours,
            formats=("~g", "~g"),
        ),
        "heirs_scatter",
        "Damage without the ancestors against damage without the heir, a point a student head.",
    )
