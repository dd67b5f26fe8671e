"""Progress bars above work that says how far it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import streamlit as st

from app.elements.text import escape_markdown
from engine.settings import torch_subprocess


@contextmanager
def progress_bar(text: str) -> Iterator[Callable[[float], None]]:
    """A bar called `text` that is there as long as the work takes; the work says its share, 0-1, to what this gives."""
    bar = st.progress(0.0, escape_markdown(text))
    try:

        def say(share: float) -> None:
            bar.progress(share, f"{escape_markdown(text)}, {share:.0%}")

        yield say
    finally:
        bar.empty()


def ask_torch(module: str, question: dict[str, Any]) -> dict[str, Any]:
    """What `module` of the engine answers to `question` in a process that loads torch, below a bar that says so.

    Raises:
        ValueError: (ApartError) it refuses, or the process failed.
    """
    bar = st.progress(0.0, "Starting; torch takes a few seconds to load")
    try:

        def say(share: float, doing: str) -> None:
            bar.progress(share, escape_markdown(doing.capitalize()))

        return torch_subprocess.ask(module, question, say)
    finally:
        bar.empty()
