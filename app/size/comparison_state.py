"""The comparison that the size page is about: from the link, changed by the controls, back into the link."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import streamlit as st

from app.session.browser import recall, remember
from app.session.link import set_whole_link, whole_link
from app.session.widget_values import set_widget_value, widget_key
from engine.sizing import comparison_link
from engine.sizing.comparison import MAX_CONFIGURATIONS, MAX_NAME_LENGTH, Comparison, Configuration, edit_field
from engine.sizing.shape import ShapeError

COMPARISON_KEY, PROBLEMS_KEY, WRITTEN_LINKS_KEY = "size_comparison", "size_problems", "size_links"
LARGEST_AMOUNT = 10**12  # tokens, sequences, steps
MOST_WRITTEN = 500  # links of this session that are told apart from a link that somebody opened


def current_comparison() -> Comparison:
    """The comparison of this session; a link that this session has not written itself begins a new one."""
    link = whole_link()
    written = recall(WRITTEN_LINKS_KEY, [])
    if recall(COMPARISON_KEY) is None or (link and link not in written):
        found, problems = comparison_link.from_link(link)
        remember(COMPARISON_KEY, found)
        remember(PROBLEMS_KEY, problems)
    return recall(COMPARISON_KEY)


def link_problems() -> list[str]:
    """What was refused of the link that was opened, until something is changed."""
    return recall(PROBLEMS_KEY, [])


def change_comparison(**changes: Any) -> None:
    """Changes the comparison, from a widget's callback."""
    remember(COMPARISON_KEY, recall(COMPARISON_KEY).replace(**changes))
    remember(PROBLEMS_KEY, [])


def change_chosen(**changes: Any) -> None:
    """Changes the chosen configuration's name, preset or fields."""
    comparison: Comparison = recall(COMPARISON_KEY)
    configurations = list(comparison.configurations)
    configurations[comparison.chosen] = configurations[comparison.chosen].replace(**changes)
    change_comparison(configurations=tuple(configurations))


def change_field(name: str, value: Any) -> None:
    """Changes one field of the chosen configuration; derived fields follow."""
    change_chosen(fields=edit_field(chosen_configuration().fields, name, value))


def chosen_configuration() -> Configuration:
    """The configuration that the controls change."""
    comparison: Comparison = recall(COMPARISON_KEY)
    return comparison.configurations[comparison.chosen]


def duplicate_chosen() -> None:
    """Puts a copy of the chosen configuration behind the last one, and chooses it."""
    comparison: Comparison = recall(COMPARISON_KEY)
    if len(comparison.configurations) >= MAX_CONFIGURATIONS:
        return
    names = {configuration.name for configuration in comparison.configurations}
    base = comparison.configurations[comparison.chosen]
    stem = "Student" if comparison.chosen == 0 else base.name
    name = next(text for n in range(2, 9) if (text := f"{stem[: MAX_NAME_LENGTH - 2]} {n}") not in names)
    name = stem if stem not in names else name
    change_comparison(
        configurations=(*comparison.configurations, base.replace(name=name)), chosen=len(comparison.configurations)
    )


def remove_chosen() -> None:
    """Takes the chosen configuration out; one always stays."""
    comparison: Comparison = recall(COMPARISON_KEY)
    if len(comparison.configurations) == 1:
        return
    others = [
        configuration for index, configuration in enumerate(comparison.configurations) if index != comparison.chosen
    ]
    change_comparison(configurations=tuple(others), chosen=max(0, comparison.chosen - 1))


def controlled(name: str, value: Any, change: Callable[[Any], object], argument: str = "value") -> dict[str, Any]:
    """Arguments of a widget called `name` that shows `value` of the comparison and hands what a person makes of it on.

    The comparison is the one truth: whatever a person did last, the widget shows what the comparison says now.

    Args:
        change: what to do with a new value.
        argument: the word by which the widget takes its value.
    """
    set_widget_value(name, value)
    key = widget_key(name)
    return {argument: value, "key": key, "on_change": change_callback(key, value, change)}


def controlled_choice(name: str, options: Sequence[Any], value: Any, change: Callable[[Any], object]) -> dict[str, Any]:
    """The same of a selectbox: its options, the place of `value` among them, its key and its callback."""
    arguments = controlled(name, value, change)
    return {"options": options, "index": options.index(arguments.pop("value")), **arguments}


def show_number(
    comparison: Comparison, label: str, name: str, step: int, help: str, *, most: int = LARGEST_AMOUNT
) -> None:
    """A number of the comparison's view as a widget: 1 to `most`."""
    value = controlled(f"size_{name}", getattr(comparison, name), lambda value: change_comparison(**{name: int(value)}))
    st.number_input(label, 1, most, step=step, help=help, **value)


def show_choice(
    comparison: Comparison, label: str, name: str, options: Sequence[Any], help: str, format_func: Any = str
) -> None:
    """A choice of the comparison's view as a widget."""
    value = getattr(comparison, name)
    choice = controlled_choice(f"size_{name}", options, value, lambda value: change_comparison(**{name: value}))
    st.selectbox(label, help=help, format_func=format_func, **choice)


def write_link(comparison: Comparison) -> None:
    """Writes the comparison into the page's link; a configuration that does not fit together is left as it was."""
    if not all(is_consistent(configuration) for configuration in comparison.configurations):
        return
    link = comparison_link.to_link(comparison)
    lists = {name: [value] if isinstance(value, str) else list(value) for name, value in link.items()}
    written = recall(WRITTEN_LINKS_KEY, [])
    if lists not in written:
        remember(WRITTEN_LINKS_KEY, [*written[-MOST_WRITTEN:], lists])
    set_whole_link(link)


def is_consistent(configuration: Configuration) -> bool:
    """Whether its fields make a shape."""
    try:
        return bool(configuration.shape)
    except ShapeError:
        return False


def change_callback(key: str, shown: Any, change: Callable[[Any], object]) -> Callable[[], None]:
    """A widget's on_change: hands the widget's new value to `change`.

    `shown`: what it is drawn with. A new widget reports that too, and what is true may have moved on by then; once a
    person has changed it, the same value is a way back.
    """

    def changed() -> None:
        value = recall(key)
        if value != shown or recall(f"moved_{key}"):
            remember(f"moved_{key}", True)
            change(value)

    return changed
