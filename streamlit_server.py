"""The app behind a door that knows its own names: `streamlit run streamlit_server.py`.

`streamlit run streamlit_app.py` refuses a foreign host's name where a page begins to talk, by WebSocket; the page's
shell, the health check and the metrics it gives to anybody. Here plain HTTP is held to server.allowedHosts, too.
"""

import streamlit as st
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware

from engine.settings.project import PROJECT

HOSTS = list(st.get_option("server.allowedHosts")) or ["*"]
app = st.App(
    PROJECT / "streamlit_app.py",
    middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=HOSTS, www_redirect=False)],
)
