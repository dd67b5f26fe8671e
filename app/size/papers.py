"""What papers say beside what is exact: sizes by what is counted, and two of ALBERT's tables as charts."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.elements.figure import show_figure
from app.elements.tables import html_table
from app.session.browser import current_theme
from app.size.answers import SizedModel
from app.size.charts import paper_chart
from engine.sizing.cost import parameters
from engine.sizing.presets import published_counts
from engine.sizing.published_tables import TABLES, WID_RETAINED, WID_RETAINED_SOURCE

HEADS_COUNTED = {
    "encoder": {"pooler": False, "mlm_head": False, "pair_head": False},
    "encoder and pooler": {"pooler": True, "mlm_head": False, "pair_head": False},
    "masked-LM model": {"pooler": False, "mlm_head": True, "pair_head": False},
    "pre-training model": {"pooler": True, "mlm_head": True, "pair_head": True},
}


def show_papers(models: Sequence[SizedModel]) -> None:
    """The four ways to count, then the published points with the own models' sizes among them."""
    colours = current_theme()
    st.markdown("##### Which count does a paper mean?")
    rows = []
    for label, heads in HEADS_COUNTED.items():
        rows.append([label, *(f"{parameters(model.shape.replace(**heads)):,}" for model in models)])
    for model in models:
        for claim in published_counts(model.shape):
            cells = [claim.parameters if other is model else "" for other in models]
            rows.append([claim.source, *cells])
    st.html(html_table(["", *(model.name for model in models)], rows, colours))
    st.caption("Papers print one of these, or leave something out, and follow no single rule. Ours are exact.")
    st.caption(
        " ".join(f"{name} keeps {kept} of BERT base's quality." for name, kept in WID_RETAINED)
        + f" {WID_RETAINED_SOURCE}."
    )
    for paper in TABLES:
        st.markdown(f"##### {paper.title}")
        show_figure(
            paper_chart(paper, [(model.name, parameters(model.shape), model.colour) for model in models], colours),
            key=f"size_paper_{TABLES.index(paper)}",
            alt=f"{paper.title}: scores over parameters; the table below has the numbers",
        )
        lines = [
            [
                f"{point.series}, {point.label}",
                point.printed_parameters,
                f"{parameters(point.shape):,}",
                f"{point.score}",
            ]
            for point in paper.rows
        ]
        with st.expander("The same as a table"):
            st.html(html_table(["", "paper says", "exact, with pooler", "score in the paper"], lines, colours))
        st.caption(
            f"{paper.source}. Scores are the paper's ({paper.score}). Your models stand at their size as "
            "counted above; they have no score here, and none is predicted."
        )
