"""Text that is not on this machine, on the build page: fetched on the spot, or the microworld in its place."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from app.elements.text import escape_markdown
from app.session import caches
from app.session.browser import recall, remember
from app.session.widget_values import set_widget_value
from engine.text.nltk_data import Fetching, fetch_command, missing_collections


def offer_missing_text(corpora: str, widget: str) -> None:
    """Offers to fetch what is missing of `corpora`, whose name stands in the text field `widget`; else draws nothing.

    All sessions see one download: who comes while another one's is at work sees how far that is.
    """
    missing = missing_collections(corpora)
    if not missing:
        return
    fetching = caches.fetching(missing)
    at_work, failed = False, ""
    if fetching is not None:
        at_work = fetching.is_alive()
        failed = fetching.error if recall("fetched_text") == missing else ""  # who has not asked gets no answer
    with st.container(border=True):
        st.markdown(f":material/cloud_download: {_are_not_here(missing)} yet.")
        if fetching is not None and at_work:
            _show_fetching(fetching)
        elif failed:
            st.error(escape_markdown(failed), icon=":material/cloud_off:")
        left, right = st.columns(2)
        left.button(
            "Try again" if failed else "Download",
            icon=":material/download:",
            type="primary",
            on_click=_begin,
            args=(missing,),
            disabled=at_work,
            width="stretch",
        )
        right.button(
            "Use the microworld",
            icon=":material/public:",
            on_click=set_widget_value,
            args=(widget, "microworld"),
            help="A small language that is made on this machine: nothing to download.",
            width="stretch",
        )
        if failed and not at_work:
            st.caption("Or where there is a network, in a terminal:")
            st.code(fetch_command(missing), language="sh", wrap_lines=True)
        else:
            st.caption("A few megabytes of English from NLTK's collection, kept for later runs.")


def _begin(names: tuple[str, ...]) -> None:
    remember("fetched_text", names)
    caches.begin_fetching(names)


@st.fragment(run_every=0.5)
def _show_fetching(fetching: Fetching) -> None:
    """How far a download is, until it has ended; then the page is drawn once more."""
    if not fetching.is_alive():
        st.rerun()
    left = fetching.seconds_left
    rest = f", {left:.0f} s left" if left is not None and left >= 1 else ""
    st.progress(fetching.share, f"Downloading, {fetching.share:.0%}{rest}")


def waiting_for_text(names: Sequence[str]) -> str:
    """Why a run cannot be started yet, where its text is missing and there is no network."""
    it = "it" if len(names) == 1 else "them"
    return f"{_are_not_here(names)}. Under *Corpus* you can download {it}, or take the microworld."


def _are_not_here(names: Sequence[str]) -> str:
    first = names if len(names) <= 3 else names[:2]
    more = f" and {len(names) - 2} more" if len(names) > 3 else ""
    listed = ", ".join(f"**{escape_markdown(name)}**" for name in first) + more
    return f"The text {listed} is not on this machine" if len(names) == 1 else f"{listed} are not on this machine"
