"""One person's visit: the theme that their browser shows, and the values that are kept until it is closed."""

from __future__ import annotations

import time
from typing import Any

import streamlit as st

from app.elements.theme import Theme, theme

DRAWING_PAUSE = 0.2  # seconds
_HAS_DRAWN = "shown_once"


def is_dark() -> bool:
    """Whether the browser shows the dark theme."""
    return st.context.theme.type == "dark"


def current_theme() -> Theme:
    """The colours of what the browser shows, dark or light."""
    return theme(is_dark())


def remember(name: str, value: Any) -> None:
    """Keeps `value` for this session."""
    st.session_state[name] = value


def recall(name: str, default: Any = None) -> Any:
    """What was remembered under `name`."""
    return st.session_state.get(name, default)


def let_browser_draw() -> None:
    """Once a session: gives the browser a moment to draw what has been sent before it is sent more.

    It takes everything that arrives together as one piece: four numbers then wait half a second for the controls, the
    bars and the formula that nobody has looked at yet (LOG.md, 2026-11-25).
    """
    if not recall(_HAS_DRAWN) and st.context.url:
        time.sleep(DRAWING_PAUSE)
    remember(_HAS_DRAWN, True)
