"""What a widget shows where the app chooses it and not a person: the link's run, the film's next step, a clicked head.

Streamlit tells a browser of a value that was put into the session once, in one message. A person who clicks while the
page is still being drawn gets the next run's message before the first has been looked at: the widget then begins
at its first option, reports that, and the app takes it for a choice. So the value is the widget's default here, which
every message carries, and a widget that stands there already is made anew: only a new one looks at its default.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any

from app.session.browser import recall, remember
from app.session.link import LONGEST_TEXT, link_value


def set_widget_value(name: str, value: Any) -> None:
    """Makes `value` what the widget called `name` shows, until a person changes it. Before the widget is drawn."""
    memory = recall(_memory_name(name))
    if memory is None:
        remember(_memory_name(name), (0, value))
    elif widget_value(name) != value:
        remember(_memory_name(name), (memory[0] + 1, value))


def start_from_link(name: str, parameter: str, default: Any, parse: Callable[[str], Any] = str) -> None:
    """Gives the widget, when it is drawn for the first time, what the link says under `parameter`, or `default`.

    `parse`: a word of the link as the widget's value; None or a ValueError: it makes no sense here.
    """
    if recall(_memory_name(name)) is None:
        value = None
        with contextlib.suppress(ValueError):
            value = parse(link_value(parameter)[:LONGEST_TEXT]) if link_value(parameter) else None
        set_widget_value(name, default if value is None else value)


def widget_value(name: str, default: Any = None) -> Any:
    """What the widget shows: a person's choice, or what was set last, or, at the very beginning, `default`.

    Kept when its page is left. The widget is drawn with this as its default and `widget_key(name)` as its key.
    """
    times_made, value = recall(_memory_name(name), (0, default))
    value = recall(_numbered_key(name, times_made), value)
    remember(_memory_name(name), (times_made, value))
    return value


def persistent(name: str, default: Any = None, argument: str = "value") -> dict[str, Any]:
    """Arguments of a widget that begins with `default` and is found as it was left: its value, and its key.

    `argument`: the word by which the widget takes its value.
    """
    return {argument: widget_value(name, default), "key": widget_key(name)}


def persistent_choice(name: str, options: Sequence[Any], default: Any) -> dict[str, Any]:
    """The same of a selectbox: its options, the place of its choice among them, and its key."""
    if widget_value(name, default) not in options:
        set_widget_value(name, default)
    return {"options": options, "index": options.index(widget_value(name)), "key": widget_key(name)}


def widget_key(name: str) -> str:
    """The widget's key at this moment: another one as soon as it has to be made anew."""
    return _numbered_key(name, recall(_memory_name(name), (0, None))[0])


def _numbered_key(name: str, times_made: int) -> str:
    return f"{name}_{times_made}" if times_made else name


def _memory_name(name: str) -> str:
    return f"given_{name}"
