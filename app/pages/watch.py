"""Watch: a run as it happens. Reads its folder once a second while it is at work; needs no torch."""

import json
import time
from functools import partial

import streamlit as st

from app.elements.text import escape_markdown
from app.session import caches
from app.watch.run import read_card, show_run
from app.watch.run_choice import choose_run
from engine.storage.runs import ENDED, Run, RunError
from engine.training import job

PATIENCE = 15.0  # seconds after which a stop that was asked for may be forced


@st.fragment(run_every=1.0)
def at_work(run: Run) -> None:
    """A run in progress: drawn every second until it ends, then the page as a whole once more."""
    if run.status() in ENDED or show_run(run, stop_buttons) in ENDED:
        st.rerun()


def stop_buttons(run: Run, status: str) -> None:
    """Stop, and where that is not heard for a while, Force; drawn every second, for time makes the difference."""
    if status in ENDED:
        return
    asked = run.stop_requested()
    if st.button(
        "Stop",
        icon=":material/stop:",
        disabled=asked,
        help="Saves a checkpoint and the student as it is, then stops.",
    ):
        run.request_stop()
    if asked and st.button(
        "Force",
        icon=":material/bolt:",
        disabled=time.time() - run.stop_path.stat().st_mtime < PATIENCE,
        help="Ends the process; what came after the last checkpoint is lost.",
    ):
        job.stop(run, grace_s=0.0)
        st.rerun()


def rest_buttons(run: Run, status: str) -> None:
    """What can be done with a run that has ended."""
    card, _ = read_card(run)
    if run.student_dir.exists() and st.button("Examine", type="primary", icon=":material/visibility:"):
        st.switch_page("app/pages/examine.py", query_params={"run": run.id})
    if job.can_resume(run) and st.button("Resume", icon=":material/play_arrow:"):
        try:
            job.resume(run)
        except ValueError as error:
            st.error(escape_markdown(str(error)), icon=":material/error:")
        else:
            st.rerun()
    if card and run.student_dir.exists():
        st.download_button(
            "Report",
            partial(caches.report_html, run),
            f"{run.id}.html",
            "text/html",
            icon=":material/description:",
            on_click="ignore",
            help="One page that needs no network: card, curves, attention, layers. Takes a moment to write.",
        )
    if card:
        st.download_button(
            "Card",
            json.dumps(card, indent=1),
            f"{run.id}.json",
            "application/json",
            icon=":material/download:",
            help="Everything that explains this student.",
        )


title, choice_column = st.columns([1, 3], vertical_alignment="center")
title.title("Watch")
with choice_column:
    run = choose_run(
        "Run",
        with_student=False,
        empty="There is no run yet. Build a student; it shows up here as soon as it starts.",
    )
try:
    if run.status() in ENDED:
        show_run(run, rest_buttons)
    else:
        at_work(run)
except RunError as error:
    st.error(escape_markdown(error), icon=":material/folder_off:")
