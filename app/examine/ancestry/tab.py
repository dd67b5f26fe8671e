"""The tab about ancestry: which of its teacher's parts a student is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import streamlit as st

from app.elements.text import escape_markdown
from app.elements.tiles import tile_row
from app.examine.ancestry.dims import show_neurons, show_residual, show_survivors
from app.examine.ancestry.heads import show_head_ancestry
from app.examine.ancestry.lineage import layer_origins, moment_of_compactors, read_student_lineage
from app.examine.model_pair import ModelPair
from app.session.browser import current_theme
from app.session.widgets import linked_choice
from engine.inspection.lineage import effective_parents, entropy

UNITS = ("Heads", "Residual dims", "FFN neurons", "Survivors")


@st.fragment
def show_ancestry(pair: ModelPair, folder: Path) -> None:
    """The tab: who is made of whom. `folder`: where the student and its lineage are kept."""
    card, colours = pair.student.card, current_theme()
    try:
        lineage = read_student_lineage(pair, folder)
    except ValueError as error:  # LineageError, CheckpointError
        st.error(escape_markdown(error), icon=":material/broken_image:")
        return
    if lineage is None:
        st.info(
            f"This student was made by the method {escape_markdown(str(card.get('method')))}, which keeps no "
            "compactors, so nothing says which of the teacher's heads it is made of. Ancestry is what weight-inherited "
            "distillation (wid) alone can show; how alike the heads behave can be seen for every method.",
            icon=":material/family_history:",
        )
        return
    st.caption(
        "Read from the compactors alone, the matrices that were multiplied into the teacher's weights: the share of a "
        "teacher's head in a student's is the squared norm of the block that joins them, and a student's shares sum "
        "to 100%. No text and no attention goes into it. " + moment_of_compactors(card) + layer_origins(lineage)
    )
    shares = [lineage.head_shares(layer) for layer in range(lineage.student.layers)]
    all_heads = np.concatenate(shares)
    bits, most = entropy(all_heads), np.log2(lineage.teacher.heads)
    tile_row(
        [
            ("Chief ancestor", f"{100 * all_heads.max(1).mean():.1f}%", "its mean share"),
            ("Entropy of ancestry", f"{bits.mean():.2f} bits", f"0: one parent; {most:.2g}: all"),
            ("Effective parents", f"{effective_parents(all_heads).mean():.2f}", f"of {lineage.teacher.heads} heads"),
        ]
    )
    unit = linked_choice("Of what", UNITS, "ancestry_of")
    if unit == "Heads":
        show_head_ancestry(pair, lineage, shares, colours)
    elif unit == "Residual dims":
        show_residual(lineage, colours)
    elif unit == "FFN neurons":
        show_neurons(lineage, colours)
    else:
        show_survivors(lineage, colours)
