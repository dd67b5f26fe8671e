"""Which run a page is about: from its link, or chosen from a list."""

from __future__ import annotations

import streamlit as st

from app.elements.text import escape_markdown
from app.session import caches
from app.session.browser import recall, remember
from app.session.link import link_value, set_link_value
from app.session.widget_values import persistent_choice, set_widget_value
from engine.storage.runs import Run, RunError, list_runs, open_run


def choose_run(label: str, *, with_student: bool, empty: str) -> Run:
    """A select box of runs, newest first, starting at the one in the page's link; the choice goes into the link.

    `with_student`: only runs that have a student to look at. Where there is none, says `empty`, points to the build
    page and ends the script.
    """
    linked = link_value("run")
    if linked:
        try:
            open_run(caches.RUNS, linked)
        except RunError as error:
            st.error(escape_markdown(error), icon=":material/link_off:")
    try:
        runs = [run for run in list_runs(caches.RUNS) if run.student_dir.exists() or not with_student]
    except RunError as error:
        st.error(escape_markdown(error), icon=":material/folder_off:")
        st.stop()
    if not runs:
        st.info(empty, icon=":material/construction:")
        st.page_link("app/pages/build.py", label="Build a student", icon=":material/construction:")
        st.stop()
    by_id = {run.id: run for run in runs}
    ids = list(by_id)
    name = f"chosen_run_{label}"
    if linked in by_id and linked != recall(f"{name}_linked"):  # a link that was not made by an earlier choice
        set_widget_value(name, linked)
    unreadable = {id: problem for id, run in by_id.items() if (problem := run.problem())}
    chosen = st.selectbox(
        label,
        help="Newest first.",
        format_func=lambda id: f"{id} (unreadable)" if id in unreadable else id,
        **persistent_choice(name, ids, next((id for id in ids if id not in unreadable), ids[0])),
    )
    set_link_value("run", chosen)
    remember(f"{name}_linked", chosen)
    if chosen in unreadable:
        st.error(escape_markdown(unreadable[chosen]), icon=":material/folder_off:")
        st.stop()
    return by_id[chosen]
