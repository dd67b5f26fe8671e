"""The text to learn from, on the build page: its name, a file brought along, and a look at it before it is used."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

import numpy as np
import pandas as pd
import streamlit as st

from app.build.missing_text import offer_missing_text
from app.elements.figure import show_figure
from app.elements.score_charts import histogram
from app.elements.text import escape_markdown
from app.elements.theme import Theme, mix, readable_on
from app.elements.tiles import tile_row
from app.session import caches
from app.session.browser import current_theme, recall
from app.session.widget_values import persistent, set_widget_value
from engine.settings.run_config import RunConfig
from engine.storage.allowed_folders import UPLOADS
from engine.text.text_files import GZIP, READERS
from engine.text.token_store import CorpusError
from engine.text.uploads import MAX_UPLOAD_MB, save_upload

HELP = (
    "microworld; nltk:NAME or nltk:NAME+NAME for text collections of NLTK; file:PATH for txt, jsonl, csv, tsv or "
    "parquet (.gz too), with #COLUMN where the text's column is not called text, and &delimiter=X if it is not found; "
    "hub:DATASET or hub:DATASET:CONFIG for one of the Hub."
)


def choose_corpus(teacher: str, default: str) -> str:
    """Widgets that name a corpus; what was named. `default`: the one that suits the teacher."""
    name = st.text_input("Corpus", max_chars=500, help=HELP, **persistent(f"corpus_{teacher}", default))
    offer_missing_text(name.strip() if name.strip() not in ("", "auto") else default, f"corpus_{teacher}")
    opened = recall(f"upload_{teacher}") is not None
    with st.expander("Bring your own text", icon=":material/upload_file:", expanded=opened):
        file = st.file_uploader(
            f"A file of at most {MAX_UPLOAD_MB} MB",
            type=[*(suffix[1:] for suffix in READERS), GZIP[1:]],
            key=f"upload_{teacher}",
        )
        if file is not None:
            try:
                path = save_upload(UPLOADS, file.name, file.getvalue())
            except CorpusError as error:
                st.error(escape_markdown(error), icon=":material/upload_file:")
            else:
                st.button(
                    f"Learn from {escape_markdown(path.name)}",
                    icon=":material/check:",
                    on_click=set_widget_value,
                    args=(f"corpus_{teacher}", f"file:{path}"),
                    disabled=name.partition("#")[0] == f"file:{path}",
                )
                st.caption("It stays on this machine. Where the text is not in a column called text, add #COLUMN.")
    return name.strip() or "auto"


def show_preview(config: RunConfig, corpus: str, pairs: str = "none") -> None:
    """The corpus as a run of `config` would see it, in sentence `pairs` or rows: masked examples, lengths, counts."""
    try:
        preview = caches.corpus_preview(
            config.teacher, corpus, config.length, config.masking, config.mask_share, config.seed, pairs
        )
    except ValueError as error:
        st.error(escape_markdown(error), icon=":material/menu_book:")
        return
    extent = "in all" if preview.whole else f"of the first {preview.documents:,} documents"
    tile_row(
        [
            (
                "Documents",
                f"{preview.documents:,}" + ("" if preview.whole else "+"),
                "in all" if preview.whole else "so far",
            ),
            ("Held out", f"{preview.held_out:,}", "one in ten, by a hash" if preview.whole else extent),
            ("Rows" if pairs == "none" else "Pairs", f"{preview.rows:,}", extent),
            ("Tokens", f"{preview.tokens:,}", extent),
            ("Tokens used", f"{preview.used:,}", f"{preview.used / max(1, preview.tokens):.1%} of them"),
            ("Unknown words", f"{preview.unknown:.1%}", "of the tokens"),
        ]
    )
    colours = current_theme()
    left, right = st.columns([3, 2], gap="large")
    with left:
        st.markdown("**Ten rows as training sees them.** Only the marked tokens are asked for.")
        st.html(masked_rows(preview.examples, colours))
    with right:
        st.markdown(f"**Tokens a row**, of the first {len(preview.lengths):,} rows; at most {preview.longest}")
        counts, edges = np.histogram(preview.lengths, bins=min(16, preview.longest), range=(0, preview.longest))
        names = [f"{int(a) + 1}-{int(b)}" for a, b in zip(edges, edges[1:], strict=False)]
        show_figure(
            histogram(names, counts, "tokens a row", "rows", colours),
            key="row_lengths",
            alt="How many rows have how many tokens.",
        )
        with st.expander("As a table"):
            st.dataframe(pd.DataFrame({"tokens": names, "rows": counts}), hide_index=True)


MASK_KINDS = {"hidden": "hidden", "random": "another word put there", "kept": "left as it is, and asked for"}


def masked_rows(rows: Sequence[Sequence[tuple[str, str, str]]], colours: Theme) -> str:
    """Masked examples, a line each: (token seen, its kind, true token). The true token stands where one is hidden."""
    legend = " ".join(_token_html(words, kind, "", colours) for kind, words in MASK_KINDS.items())
    lines = "".join(
        '<li style="margin:0 0 .5rem;line-height:2">'
        + " ".join(_token_html(true if kind == "hidden" else seen, kind, true, colours) for seen, kind, true in row)
        + "</li>"
        for row in rows
    )
    return (
        f'<div style="font-size:.85rem;color:{colours.ink}"><p style="margin:0 0 .5rem">{legend}</p>'
        f'<ol style="margin:0;padding-left:1.6rem;overflow-wrap:anywhere">{lines}</ol></div>'
    )


def _token_html(text: str, kind: str, true_token: str, colours: Theme) -> str:
    if kind == "plain":
        return escape(text)
    colour = {"hidden": colours.student, "random": colours.series[0], "kept": colours.series[1]}[kind]
    background = mix(colours.empty, colour, 1.0 if kind == "hidden" else 0.35)
    decoration = {"hidden": "none", "random": "line-through", "kept": "underline"}[kind]
    title = f"{MASK_KINDS[kind]}; the word is {true_token}" if true_token else MASK_KINDS[kind]
    return (
        f'<span title="{escape(title)}" style="background:{background};color:{readable_on(background)};'
        f'text-decoration:{decoration};padding:.05rem .3rem;border-radius:.25rem">{escape(text)}</span>'
    )
