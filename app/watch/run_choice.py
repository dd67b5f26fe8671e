"""Which run a page is about: from its link, or chosen from a list."""

from __future__ import annotations

import streamlit as st

from app.session import caches as state
from app.session import widget_values as given
from engine.storage.runs import Run, RunError, list_runs, open_run


def choose_run(label: str, *, with_student: bool, empty: str) -> Run:
    """A select box of runs, newest first, starting at the one in the page's link; the choice goes into the link.

    `with_student`: only runs that have a student to look at. Where there is none, says `empty`, points to the build
    page and ends the script.
    """
    wanted = state.link("run")
    if wanted:
        try:
            open_run(state.RUNS, wanted)
        except RunError as error:
            st.error(str(error), icon=":material/link_off:")
    runs = [run for run in list_runs(state.RUNS) if run.student_dir.exists() or not with_student]
    if not runs:
        st.info(empty, icon=":material/construction:")
        st.page_link("app/pages/build.py", label="Build a student", icon=":material/construction:")
        st.stop()
    by_id = {run.id: run for run in runs}
    ids = list(by_id)
    name = f"chosen_run_{label}"
    if wanted in by_id and wanted != state.recall(f"{name}_linked"):  # a link that was not made by an earlier choice
        given.give(name, wanted)
    chosen = st.selectbox(label, help="Newest first.", **given.kept_choice(name, ids, ids[0]))
    state.set_link("run", chosen)
    state.remember(f"{name}_linked", chosen)
    return by_id[chosen]
