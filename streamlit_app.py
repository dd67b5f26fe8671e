"""Heirloom: the page list and nothing else."""

import streamlit as st

from engine.settings.project import ASSETS

st.set_page_config(page_title="Heirloom", page_icon=str(ASSETS / "pictures" / "icon.png"), layout="wide")
st.navigation(
    [
        st.Page("app/pages/size.py", title="Size", icon=":material/calculate:", default=True),
        st.Page("app/pages/build.py", title="Build", icon=":material/construction:"),
        st.Page("app/pages/watch.py", title="Watch", icon=":material/monitoring:"),
        st.Page("app/pages/examine.py", title="Examine", icon=":material/visibility:"),
        st.Page("app/pages/compare.py", title="Compare", icon=":material/scatter_plot:"),
    ],
    position="top",
).run()
