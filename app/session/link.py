"""The page's link: what is shown, as parameters that can be shared and survive a reload."""

from __future__ import annotations

import streamlit as st

LONGEST_TEXT = 2000  # letters of a text in the page's link


def link_value(name: str) -> str:
    """The value of `name` in the page's link, or an empty string."""
    return str(st.query_params.get(name, ""))


def set_link_value(name: str, value: str) -> None:
    """Puts `name` into the page's link, so that it can be shared and survives a reload; takes an empty one out."""
    if link_value(name) != value:
        if value:
            st.query_params[name] = value
        else:
            del st.query_params[name]


def set_link_text(name: str, text: str, default: str) -> None:
    """Puts a person's `text` into the link unless it is the `default`, or too long for a link."""
    set_link_value(name, "" if text == default or len(text) > LONGEST_TEXT else text)


def whole_link() -> dict[str, list[str]]:
    """Every parameter of the page's link; each may come several times."""
    return {name: st.query_params.get_all(name) for name in st.query_params}


def set_whole_link(parameters: dict[str, str | list[str]]) -> None:
    """Makes `parameters` the page's link, and takes everything else out of it."""
    lists = {name: [value] if isinstance(value, str) else list(value) for name, value in parameters.items()}
    if whole_link() != lists:
        st.query_params.from_dict(lists)
