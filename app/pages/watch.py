"""Watch: a run as it happens. Reads its folder once a second while it is at work; needs no torch."""

import json
import time

import streamlit as st

from app import state
from app.run_choice import choose_run
from app.run_view import run_view
from engine import job
from engine.runs import ENDED, Run, RunError

PATIENCE = 15.0  # seconds after which a stop that was asked for may be forced


def at_rest(run: Run) -> None:
    """A run that has ended: drawn once."""
    run_view(run)


@st.fragment(run_every=1.0)
def at_work(run: Run) -> None:
    """A run in progress: drawn every second until it ends, then the page as a whole once more."""
    if run_view(run) in ENDED:
        st.rerun()


def buttons(run: Run, status: str) -> None:
    """What can be done with `run` now."""
    left, middle, right, _ = st.columns([1, 1, 1, 2])
    if status not in ENDED:
        if left.button(
            "Stop",
            icon=":material/stop:",
            disabled=status == "stopping",
            width="stretch",
            help="Saves a checkpoint and the student as it is, then stops.",
        ):
            run.request_stop()
            state.remember(f"asked_{run.id}", time.monotonic())
            st.rerun()
        asked = state.recall(f"asked_{run.id}", time.monotonic())
        if status == "stopping" and middle.button(
            "Force",
            icon=":material/bolt:",
            width="stretch",
            disabled=time.monotonic() - asked < PATIENCE,
            help="Ends the process; what came after the last checkpoint is lost.",
        ):
            job.stop(run, grace_s=0.0)
            st.rerun()
        return
    card = run.card()
    if run.student_dir.exists() and left.button(
        "Examine", type="primary", icon=":material/visibility:", width="stretch"
    ):
        st.switch_page("app/pages/examine.py", query_params={"run": run.id})
    if status in ("stopped", "died") and middle.button("Resume", icon=":material/play_arrow:", width="stretch"):
        job.resume(run)
        st.rerun()
    if card:
        right.download_button(
            "Card",
            json.dumps(card, indent=1),
            f"{run.id}.json",
            "application/json",
            icon=":material/download:",
            width="stretch",
            help="Everything that explains this student.",
        )


st.title("Watch")
run = choose_run(
    "Run", with_student=False, empty="There is no run yet. Build a student; it shows up here as soon as it starts."
)
status = run.status()
try:
    buttons(run, status)
    (at_rest if status in ENDED else at_work)(run)
except RunError as error:
    st.error(str(error), icon=":material/folder_off:")
