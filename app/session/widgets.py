"""Widgets that several pages draw in one way: choices side by side, texts and choices that the page's link keeps."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app.session.link import set_link_text
from app.session.widget_values import persistent, start_from_link

MOST_TYPED = 100_000  # letters; more than that a box swallows without a word


def linked_choice(
    label: str,
    options: Sequence[str],
    key: str,
    *,
    default: str = "",
    place: Any = st,
    format_func: Callable[[str], str] = str,
    help: str | None = None,
) -> str:
    """One of `options`, side by side; `default`, or else the first, to begin with. The link keeps it under `key`."""
    chosen = place.segmented_control(
        label,
        options,
        default=default or options[0],
        required=True,
        format_func=format_func,
        key=key,
        help=help,
        bind="query-params",
    )
    return str(chosen)


def linked_text(label: str, name: str, parameter: str, default: str, *, place: Any = st, **more: Any) -> str:
    """A line of text in the widget called `name`; the link keeps what a person writes under `parameter`.

    `default`: what it begins with where the link says nothing. `more`: for st.text_input.
    """
    start_from_link(name, parameter, default)
    text = str(place.text_input(label, max_chars=MOST_TYPED, **persistent(name), **more))
    set_link_text(parameter, text, default)
    return text


def persistent_segments(
    label: str,
    options: Sequence[Any],
    name: str,
    default: Any,
    *,
    place: Any = st,
    format_func: Callable[[Any], str] = str,
    help: str | None = None,
) -> Any:
    """One of `options`, side by side, in the widget called `name`: `default` to begin with, later as it was left."""
    value = persistent(name, default, "default")
    return place.segmented_control(label, options, required=True, format_func=format_func, help=help, **value)
