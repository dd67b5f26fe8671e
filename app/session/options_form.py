"""From an options dataclass to widgets to values. Knows no method: the dataclass says what there is to choose."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, cast

import streamlit as st

from app.session.widget_values import persistent, persistent_choice
from app.session.widgets import persistent_segments

SPELLINGS = {"ffn": "FFN", "nsp": "NSP", "sop": "SOP", "adamw": "AdamW"}
MOST_SIDE_BY_SIDE = 6  # choices; more of them go into a list


def options_form(kind: type, key: str, start: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Widgets for every field of the options dataclass `kind`, those marked advanced folded away; their values.

    `start`: values to begin with instead of the fields' defaults; another start needs another `key`.
    """
    fields, start = dataclasses.fields(kind), start or {}
    values = {spec.name: _option_widget(spec, key, start) for spec in fields if not spec.metadata.get("advanced")}
    advanced = [spec for spec in fields if spec.metadata.get("advanced")]
    if advanced:
        with st.expander("More options"):
            values |= {spec.name: _option_widget(spec, key, start) for spec in advanced}
    return values


def preset_choice(presets: Mapping[str, Mapping[str, Any]], notes: Mapping[str, str], key: str) -> str:
    """A choice among named starting values, with the note of the chosen one below; its name."""
    about = "Sets the options below; each can still be changed."
    name = persistent_segments("Preset", list(presets), key, next(iter(presets)), format_func=choice_label, help=about)
    st.caption(notes.get(name, ""))
    return str(name)


def choice_label(name: str) -> str:
    """A choice's name as it stands on a button: a capital first, and abbreviations as people spell them."""
    return SPELLINGS.get(name, name[:1].upper() + name[1:])


def _option_widget(spec: dataclasses.Field[Any], key: str, start: Mapping[str, Any]) -> Any:
    metadata, kind = spec.metadata, getattr(spec.type, "__name__", str(spec.type))
    default = cast(Any, start.get(spec.name, spec.default))
    label = metadata.get("label") or spec.name.replace("_", " ")
    label = label[:1].upper() + label[1:]
    name, help = f"{key}_{spec.name}", metadata["help"]
    if metadata.get("choices"):
        choices = list(metadata["choices"])
        if len(choices) > MOST_SIDE_BY_SIDE:
            return st.selectbox(label, help=help, **persistent_choice(name, choices, default))
        return persistent_segments(label, choices, name, default, format_func=choice_label, help=help)
    if kind == "str":
        return st.text_input(label, max_chars=200, help=help, **persistent(name, default))
    if kind == "bool":
        return st.toggle(label, help=help, **persistent(name, default))
    least, most = metadata.get("least"), metadata.get("most")
    if kind == "int":
        int_bounds = [None if bound is None else int(bound) for bound in (least, most)]
        return int(st.number_input(label, int_bounds[0], int_bounds[1], help=help, **persistent(name, default)))
    arguments = persistent(name, float(default))
    if most == 1.0 and cast(float, spec.default) >= 0.05:
        return st.slider(label, float(least or 0.0), 1.0, step=0.05, help=help, **arguments)
    bounds = [None if bound is None else float(bound) for bound in (least, most)]
    step = 10.0 ** _leading_power(default)
    return float(st.number_input(label, bounds[0], bounds[1], step=step, format="%g", help=help, **arguments))


def _leading_power(value: float) -> int:
    """The power of ten of a number's leading digit."""
    return int(f"{value or 1.0:e}".split("e")[1])
