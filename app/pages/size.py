"""Size: how many parameters would it have, where are they, and what would they cost?

Needs no torch, and no chart or table library before somebody opens a tab that draws: the answer is there at once.
"""

import streamlit as st

from app.session.browser import let_browser_draw
from app.size.answers import show_answer, show_details
from app.size.comparison_state import current_comparison, write_link
from app.size.controls import show_controls
from app.size.tabs import show_tabs

comparison = current_comparison()
st.title("How big would it be?")
st.caption("Every number is exact, computed from the shape; shared and tied weights are counted once.")
models = show_answer(comparison)
let_browser_draw()
left, right = st.columns([2, 5], gap="large")
with left:
    show_controls(comparison)
with right:
    if models:
        show_details(comparison, models)
        show_tabs(comparison, models)
write_link(comparison)
