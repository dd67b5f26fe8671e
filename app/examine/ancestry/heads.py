"""Ancestry of heads: which of the teacher's a WID student's are made of."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import streamlit as st

from app.elements.buttons import csv_button
from app.elements.figure import show_figure
from app.elements.heatmaps import heatmap
from app.elements.tables import html_table
from app.elements.theme import Theme
from app.examine.ancestry.charts import FAINTEST, ancestry_sankey
from app.examine.ancestry.kinship import show_kinship
from app.examine.ancestry.lineage import choose_student_layer
from app.examine.labels import head_label, head_names
from app.examine.model_pair import ModelPair
from app.session.widgets import linked_choice
from engine.inspection.lineage import Lineage, effective_parents, entropy

PRODUCTS = {"both": "Both", "query-key": "Query-key", "value-output": "Value-output"}


def show_head_ancestry(pair: ModelPair, lineage: Lineage, shares: Sequence[np.ndarray], colours: Theme) -> None:
    """Draws one layer's heads. `shares`: (student head, teacher head) of each of the student's layers."""
    left, right = st.columns(2, vertical_alignment="bottom")
    layer = choose_student_layer(lineage, "ancestry_layer", place=left)
    product = linked_choice(
        "Product",
        list(PRODUCTS),
        "ancestry_part",
        place=right,
        format_func=PRODUCTS.__getitem__,
        help="Query-key decides where a head looks, value-output what it brings from there; both: their mean.",
    )
    layer_shares = shares[layer] if product == "both" else lineage.head_shares(layer, product)
    student_names, teacher_names = head_names(lineage.student.heads), head_names(lineage.teacher.heads)
    left_half, right_half = st.columns(2, gap="large")
    with left_half:
        st.markdown(f":blue[**Teacher**], layer {lineage.layers[layer] + 1} → :orange[**student**], layer {layer + 1}")
        show_figure(
            ancestry_sankey(layer_shares, teacher_names, student_names, colours),
            "ancestry_sankey",
            f"Flows from the teacher's {len(teacher_names)} heads into the student's {len(student_names)}, "
            f"layer {layer + 1}.",
            csv_key="ancestry_shares_drawn_csv",
        )
    with right_half:
        st.markdown("**Shares**, in percent")
        show_figure(
            heatmap(
                100 * layer_shares,
                student_names,
                teacher_names,
                ("student's", "teacher's"),
                colours.student,
                colours,
                hover="student's %{y} from the teacher's %{x}",
                limits=(0, 100),
                number_format=".1f",
                height=min(720, 120 + 52 * max(len(student_names), len(teacher_names))),
            ),
            "ancestry_shares",
            "The same shares as a heatmap.",
        )
    if (layer_shares < FAINTEST).any():
        st.caption(f"Flows below {FAINTEST:.2%} are not drawn; the table and the heatmap have them.")
    childless = sorted(set(range(lineage.teacher.heads)) - set(layer_shares.argmax(1).tolist()))
    if childless:
        names = ", ".join(str(head + 1) for head in childless)
        st.caption(f"Nobody's chief ancestor in this layer: the teacher's head {names}.")
    _head_table(lineage, colours)
    show_kinship(pair, lineage, shares, colours)


def _head_table(lineage: Lineage, colours: Theme) -> None:
    head = ["student's head", "chief ancestor", "share, %", "entropy, bits", "effective parents", "crossed, %"]
    lines = []
    for layer in range(lineage.student.layers):
        shares = lineage.head_shares(layer)
        crossed = (lineage.crossed(layer, "query-key") + lineage.crossed(layer, "value-output")) / 2
        for number, row in enumerate(shares):
            lines.append(
                [
                    head_label(layer, number),
                    head_label(lineage.layers[layer], int(row.argmax())),
                    f"{100 * row.max():.2f}",
                    f"{entropy(row):.3f}",
                    f"{effective_parents(row):.3f}",
                    f"{100 * crossed[number]:.2f}",
                ]
            )
    with st.expander("All heads as a table"):
        st.html(html_table(head, lines, colours))
        st.caption(
            "Crossed: the part of a head's two products that joins two different heads of the teacher, such as the "
            "queries of one with the keys of another. Effective parents: 2 to the entropy."
        )
        csv_button(head, lines, "ancestry-of-heads", "ancestry_heads_csv")
