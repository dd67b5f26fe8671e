"""The text to learn from, on the build page: its name, a file brought along, and a look at it before it is used."""

from __future__ import annotations

import numpy as np
import pandas as pd
import streamlit as st

from app.elements.figure import shown
from app.elements.score_charts import histogram
from app.elements.text import masked_rows
from app.elements.theme import theme
from app.elements.tiles import tile_row
from app.session import caches as state
from app.session import widget_values as given
from engine.settings.run_config import RunConfig
from engine.storage.allowed_folders import UPLOADS
from engine.text.text_files import READERS
from engine.text.token_store import CorpusError
from engine.text.uploads import MAX_UPLOAD_MB, save_upload

HELP = (
    "microworld; nltk:NAME or nltk:NAME+NAME for text collections of NLTK; file:PATH for txt, jsonl, csv or parquet, "
    "with #COLUMN where the text's column is not called text; hub:DATASET or hub:DATASET:CONFIG for one of the Hub."
)


def choose_corpus(teacher: str, own: str) -> str:
    """Widgets that name a corpus; what was named. `own`: the one that suits the teacher."""
    name = st.text_input("Corpus", max_chars=500, help=HELP, **given.kept(f"corpus_{teacher}", own))
    opened = state.recall(f"upload_{teacher}") is not None
    with st.expander("Bring your own text", icon=":material/upload_file:", expanded=opened):
        file = st.file_uploader(
            f"A file of at most {MAX_UPLOAD_MB} MB", type=[suffix[1:] for suffix in READERS], key=f"upload_{teacher}"
        )
        if file is not None:
            try:
                path = save_upload(UPLOADS, file.name, file.getvalue())
            except CorpusError as error:
                st.error(str(error), icon=":material/upload_file:")
            else:
                st.button(
                    f"Learn from {path.name}",
                    icon=":material/check:",
                    on_click=given.give,
                    args=(f"corpus_{teacher}", f"file:{path}"),
                    disabled=name.partition("#")[0] == f"file:{path}",
                )
                st.caption("It stays on this machine. Where the text is not in a column called text, add #COLUMN.")
    return name.strip() or "auto"


def show_preview(config: RunConfig, corpus: str) -> None:
    """The corpus as a run of `config` would see it: masked examples, lengths and counts."""
    try:
        found = state.corpus_preview(
            config.teacher, corpus, config.length, config.masking, config.mask_share, config.seed
        )
    except ValueError as error:
        st.error(str(error), icon=":material/menu_book:")
        return
    part = "in all" if found.whole else f"of the first {found.documents:,} documents"
    tile_row(
        [
            ("Documents", f"{found.documents:,}" + ("" if found.whole else "+"), "in all" if found.whole else "so far"),
            ("Held out", f"{found.held_out:,}", "one in ten, by a hash" if found.whole else part),
            ("Tokens", f"{found.tokens:,}", part),
            ("Unknown words", f"{found.unknown:.1%}", "of the tokens"),
        ]
    )
    colours = theme(state.dark())
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown("**Ten rows as training sees them.** Only the marked tokens are asked for.")
        st.html(masked_rows(found.examples, colours))
    with right:
        st.markdown(f"**Tokens a row**, of the first {len(found.lengths):,} rows; at most {found.longest}")
        counts, edges = np.histogram(found.lengths, bins=min(16, found.longest), range=(0, found.longest))
        names = [f"{int(a) + 1}-{int(b)}" for a, b in zip(edges, edges[1:], strict=False)]
        shown(
            histogram(names, counts, "tokens a row", "rows", colours),
            key="row_lengths",
            alt="How many rows have how many tokens.",
        )
        with st.expander("As a table"):
            st.dataframe(pd.DataFrame({"tokens": names, "rows": counts}), hide_index=True)
