"""Ancestry: which of the teacher's heads a WID student's are made of."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app.elements.buttons import as_csv
from app.elements.figure import shown
from app.elements.heatmaps import grid
from app.elements.tables import table
from app.elements.text import plain
from app.elements.theme import Theme, theme
from app.elements.tiles import tile_row
from app.examine.ancestry.charts import FAINTEST, sankey
from app.examine.ancestry.dims import show_neurons, show_residual, show_survivors
from app.examine.ancestry.kinship import show_kinship
from app.examine.pair import Pair, head_names
from app.session import caches as state
from engine.inspection.lineage import Lineage, effective_parents, entropy, read_lineage

OF_WHAT = ("Heads", "Residual dims", "FFN neurons", "Survivors")
PARTS = {"both": "Both", "query-key": "Query-key", "value-output": "Value-output"}


@st.fragment
def show_ancestry(pair: Pair, folder: Path) -> None:
    """The tab: who is made of whom. `folder`: where the student and its lineage are kept."""
    card, colours = pair.student.card, theme(state.dark())
    try:
        lineage = lineage_of(pair, folder)
    except ValueError as error:  # LineageError, CheckpointError
        st.error(str(error), icon=":material/broken_image:")
        return
    if lineage is None:
        st.info(
            f"This student was made by the method {plain(str(card.get('method')))}, which keeps no compactors, so "
            "nothing says which of the teacher's heads it is made of. Ancestry is what weight-inherited distillation "
            "(wid) alone can show; how alike the heads behave can be seen for every method.",
            icon=":material/family_history:",
        )
        return
    st.caption(
        "Read from the compactors alone, the matrices that were multiplied into the teacher's weights: the share of a "
        "teacher's head in a student's is the squared norm of the block that joins them, and a student's shares sum "
        "to 100%. No text and no attention goes into it. " + when_said(card) + _layers_said(lineage)
    )
    shares = [lineage.head_shares(layer) for layer in range(lineage.student.layers)]
    everybody = np.concatenate(shares)
    bits, most = entropy(everybody), np.log2(lineage.teacher.heads)
    tile_row(
        [
            ("Chief ancestor", f"{100 * everybody.max(1).mean():.1f}%", "its mean share"),
            ("Entropy of ancestry", f"{bits.mean():.2f} bits", f"0: one parent; {most:.2g}: all"),
            ("Effective parents", f"{effective_parents(everybody).mean():.2f}", f"of {lineage.teacher.heads} heads"),
        ]
    )
    what = st.segmented_control(
        "Of what", OF_WHAT, default="Heads", required=True, key="ancestry_of", bind="query-params"
    )
    if what == "Heads":
        _heads(pair, lineage, shares, colours)
    elif what == "Residual dims":
        show_residual(lineage, colours)
    elif what == "FFN neurons":
        show_neurons(lineage, colours)
    else:
        show_survivors(lineage, colours)


def lineage_of(pair: Pair, folder: Path) -> Lineage | None:
    """The student's lineage, or None: it keeps none.

    Raises:
        ValueError: (LineageError, CheckpointError) it is damaged.
    """

    def make() -> Lineage | None:
        from engine.model.saved_models import load_lineage

        tensors = {name: tensor.numpy() for name, tensor in load_lineage(folder).items()}
        if "dims.residual" not in tensors:  # something else may be kept there, a classifier for one
            return None
        return read_lineage(tensors, pair.teacher.bert.shape, pair.student.bert.shape, pair.layer_map())

    return state.computed(("lineage", pair.student_key, pair.teacher_key), make)


def when_said(card: dict[str, Any]) -> str:
    """In words: of which moment of a run the compactors are."""
    options = card.get("options") or {}
    done, steps = int(card.get("steps_done") or 0), int(card.get("steps") or 0)
    if done < float(options.get("closed_by", 1.0)) * steps:
        return f"The run was stopped after {done:,} of {steps:,} steps; dims that were still closing were cut off. "
    if options.get("after_closing") == "folded":
        return (
            f"They are those of the moment when everything was closed, about {options.get('closed_by', 0.5):.0%} into "
            "the run; after it the student went on learning as a plain BERT, and what changed then is not in them. "
        )
    return "They were kept to the end of the run. "


def _layers_said(lineage: Lineage) -> str:
    if lineage.student.layers == lineage.teacher.layers:
        return ""
    pairs = ", ".join(f"{layer + 1} from {of + 1}" for layer, of in enumerate(lineage.layers))
    return f"The student is shallower than its teacher; its layers come: {pairs}."


# ---- heads -----------------------------------------------------------------------------------------------------------


def _heads(pair: Pair, lineage: Lineage, shares: Sequence[np.ndarray], colours: Theme) -> None:
    left, right = st.columns(2, vertical_alignment="bottom")
    layer = left.selectbox(
        "Layer of the student",
        range(lineage.student.layers),
        format_func=lambda it: f"{it + 1}, from the teacher's {lineage.layers[it] + 1}",
        key="ancestry_layer",
    )
    part = right.segmented_control(
        "Product",
        list(PARTS),
        default="both",
        required=True,
        format_func=lambda it: PARTS[it],
        key="ancestry_part",
        bind="query-params",
        help="Query-key decides where a head looks, value-output what it brings from there; both: their mean.",
    )
    found = shares[layer] if part == "both" else lineage.head_shares(layer, str(part))
    ours, theirs = head_names(lineage.student.heads), head_names(lineage.teacher.heads)
    one, other = st.columns(2, gap="large")
    with one:
        st.markdown(f":blue[**Teacher**], layer {lineage.layers[layer] + 1} → :orange[**student**], layer {layer + 1}")
        shown(
            sankey(found, theirs, ours, colours),
            "ancestry_sankey",
            f"Flows from the teacher's {len(theirs)} heads into the student's {len(ours)}, layer {layer + 1}.",
            beside="ancestry_shares_drawn_csv",
        )
    with other:
        st.markdown("**Shares**, in percent")
        shown(
            grid(
                100 * found,
                ours,
                theirs,
                ("student's", "teacher's"),
                colours.student,
                colours,
                hover="student's %{y} from the teacher's %{x}",
                limits=(0, 100),
                write=".1f",
                height=min(720, 120 + 52 * max(len(ours), len(theirs))),
            ),
            "ancestry_shares",
            "The same shares as a heatmap.",
        )
    if (found < FAINTEST).any():
        st.caption(f"Flows below {FAINTEST:.2%} are not drawn; the table and the heatmap have them.")
    gone = sorted(set(range(lineage.teacher.heads)) - set(found.argmax(1).tolist()))
    if gone:
        names = ", ".join(str(head + 1) for head in gone)
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
                    f"layer {layer + 1}, head {number + 1}",
                    f"layer {lineage.layers[layer] + 1}, head {row.argmax() + 1}",
                    f"{100 * row.max():.2f}",
                    f"{entropy(row):.3f}",
                    f"{effective_parents(row):.3f}",
                    f"{100 * crossed[number]:.2f}",
                ]
            )
    with st.expander("All heads as a table"):
        st.html(table(head, lines, colours))
        st.caption(
            "Crossed: the part of a head's two products that joins two different heads of the teacher, such as the "
            "queries of one with the keys of another. Effective parents: 2 to the entropy."
        )
        as_csv(head, lines, "ancestry-of-heads", "ancestry_heads_csv")
