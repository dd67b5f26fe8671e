"""Size: how many parameters would it have, where are they, and what would they cost?

Needs no torch, and no chart or table library before somebody opens a tab that draws: the answer is there at once.
"""

import streamlit as st

from app.session import caches as state
from app.size import choice as choice
from app.size.answers import answer, details
from app.size.controls import controls
from app.size.tabs import tabs

now = choice.opened()
st.title("How big would it be?")
st.caption("Every number is exact, computed from the shape; shared and tied weights are counted once.")
models = answer(now)
state.show_what_is_there()
left, right = st.columns([2, 5], gap="large")
with left:
    controls(now)
with right:
    if models:
        details(now, models)
        tabs(now, models)
choice.keep_link(now)
