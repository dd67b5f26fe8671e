"""Ancestry of what is not a head: residual dims, FFN neurons, and which dims survived where."""

from __future__ import annotations

import numpy as np
import streamlit as st

from app.elements.buttons import csv_button, lazy_csv_button
from app.elements.figure import show_figure
from app.elements.heatmaps import heatmap
from app.elements.tables import html_table
from app.elements.theme import Theme
from app.examine.ancestry.charts import share_map
from app.examine.ancestry.lineage import choose_student_layer
from engine.inspection.lineage import KINDS, Lineage, binned_shares, effective_parents, entropy

MOST_CELLS = 256  # on a side of a share map
GROUP_LABELS = {"attention": "attention dims", "ffn": "FFN neurons"}


def show_residual(lineage: Lineage, colours: Theme) -> None:
    """Draws which dims of the residual stream come from which."""
    names: dict[str | None, str] = {None: "All, on average"}
    names |= {side: _compactor_name(side) for side in lineage.residual_sides}
    side = st.selectbox("Compactor", list(names), format_func=lambda name: names[name], key="ancestry_side")
    _show_share_map(lineage.residual_shares(side), "dim", "The residual stream", colours)
    survived = lineage.dims["residual"]
    rows = [_share_row(name, lineage.residual_shares(place), survived) for place, name in names.items()]
    _share_table(rows, "residual-dims", colours)


def show_neurons(lineage: Lineage, colours: Theme) -> None:
    """Draws which FFN neurons come from which."""
    layer = choose_student_layer(lineage, "ancestry_ffn_layer", "Layer of the student ")
    _show_share_map(lineage.ffn_shares(layer), "neuron", f"The FFN of layer {layer + 1}", colours)
    _share_table(
        [
            _share_row(f"layer {it + 1}", lineage.ffn_shares(it), lineage.dims[f"ffn {it}"])
            for it in range(lineage.student.layers)
        ],
        "ffn-neurons",
        colours,
    )


def _show_share_map(shares: np.ndarray, unit: str, title: str, colours: Theme) -> None:
    cells, rows_per_cell, columns_per_cell = binned_shares(shares, MOST_CELLS)
    st.markdown(f"**{title}**: {shares.shape[1]:,} {unit}s of the teacher → {shares.shape[0]:,} of the student")
    show_figure(
        share_map(cells, (rows_per_cell, columns_per_cell), unit, colours),
        f"ancestry_map_{unit}",
        f"Which of the teacher's {unit}s each of the student's is made of, on a logarithmic scale.",
        csv_key=f"ancestry_map_{unit}_csv",
    )
    lazy_csv_button(  # shares, which the figure draws by their logarithm
        [f"student's {unit}", f"teacher's {unit}", "share"],
        lambda: (
            [rows_per_cell * y + 1, columns_per_cell * x + 1, f"{share:.6g}"] for (y, x), share in np.ndenumerate(cells)
        ),
        f"ancestry-map-{unit}s",
        f"ancestry_map_{unit}_csv",
    )
    if max(rows_per_cell, columns_per_cell) > 1:
        st.caption(
            f"A cell stands for {rows_per_cell} neighbours of the student and {columns_per_cell} of the teacher; it "
            "begins at the number that it shows. Its value is the share that these have in an average one of those."
        )


def _share_row(name: str, shares: np.ndarray, survived: np.ndarray) -> list[str]:
    bits = entropy(shares)
    return [
        name,
        f"{100 * shares.max(1).mean():.2f}",
        f"{100 * (shares.argmax(1) == survived).mean():.0f}",
        f"{bits.mean():.3f}",
        f"{bits.min():.3f} to {bits.max():.3f}",
        f"{effective_parents(shares).mean():.3f}",
    ]


def _share_table(lines: list[list[str]], name: str, colours: Theme) -> None:
    head = ["", "chief's share, %", "own dim is chief, %", "entropy, bits", "from to", "effective parents"]
    st.html(html_table(head, lines, colours))
    st.caption(
        "Means over the student's dims. Own dim: the teacher's dim in whose place the student's stands, because it "
        "survived."
    )
    csv_button(head, lines, f"ancestry-of-{name}", f"ancestry_{name}_csv")


def show_survivors(lineage: Lineage, colours: Theme) -> None:
    """Draws how far the layers kept the same dims, beside what lots would give."""
    st.caption(
        "Which of the teacher's dims survived is decided in every layer apart, for attention and for the FFN; the "
        "residual stream is one for all layers. Overlap: dims that survived in both layers / dims that survived in "
        "either. A dim of one layer has nothing to do with the dim of the same number in another, so an overlap "
        "beyond chance would be a surprise."
    )
    lines = []
    for column, kind in zip(st.columns(2, gap="large"), KINDS, strict=True):
        overlaps, (low, mean, high) = lineage.overlap(kind), lineage.overlap_by_chance(kind)
        names = [f"layer {layer + 1}" for layer in range(len(overlaps))]
        with column:
            st.markdown(f"**Overlap of surviving {GROUP_LABELS[kind]}**")
            show_figure(
                heatmap(overlaps, names, names, ("", ""), colours.student, colours, hover="%{y} and %{x}"),
                f"ancestry_overlap_{kind}",
                f"Overlap of surviving {GROUP_LABELS[kind]} between layers.",
            )
            st.caption(f"By lot: {mean:.2f} on average, 95% between {low:.2f} and {high:.2f}.")
        pairs = overlaps[np.triu_indices(len(overlaps), 1)]
        if len(pairs):
            outside = int(((pairs < low - 1e-9) | (pairs > high + 1e-9)).sum())
            lines.append([GROUP_LABELS[kind], f"{pairs.mean():.3f}", f"{mean:.3f}", f"{outside} of {len(pairs)}"])
    if lines:
        st.html(html_table(["", "mean overlap", "by lot", "pairs outside the 95%"], lines, colours))
    heads = [
        [f"layer {layer + 1}", ", ".join(str(head + 1) for head in lineage.surviving_heads(layer))]
        for layer in range(lineage.student.layers)
    ]
    if lineage.whole_heads:
        st.markdown("**Whole heads survived**")
        st.html(html_table(["student's layer", "the teacher's heads that stayed"], heads, colours))


def _compactor_name(side: str) -> str:
    """A compactor's name for people: "layer 2, query, in"."""
    parts = side.split(".")
    direction = "in" if parts[-1] == "row" else "out"
    if parts[0] == "embeddings":
        return "embeddings, out"
    if parts[0] == "head":
        return "masked-LM head, in"
    return f"layer {int(parts[1]) + 1}, {parts[2]}, {direction}"
