"""The comparison under the hand of the size page: from the link, changed by the controls, back into the link."""

from __future__ import annotations

from typing import Any

from app.session import caches as state
from app.session import widget_values as given
from engine.sizing import comparison as links
from engine.sizing import comparison_link as size_link
from engine.sizing.comparison import Comparison, Configuration
from engine.sizing.shape import ShapeError

COMPARISON, PROBLEMS, WRITTEN = "size_comparison", "size_problems", "size_links"
MOST_WRITTEN = 500  # links of this session that are told apart from a link that somebody opened


def opened() -> Comparison:
    """The comparison of this session; a link that this session has not written itself begins a new one."""
    link = state.whole_link()
    written = state.recall(WRITTEN, [])
    if state.recall(COMPARISON) is None or (link and link not in written):
        found, problems = size_link.from_link(link)
        state.remember(COMPARISON, found)
        state.remember(PROBLEMS, problems)
    return state.recall(COMPARISON)


def problems() -> list[str]:
    """What was refused of the link that was opened, until something is changed."""
    return state.recall(PROBLEMS, [])


def change(**changes: Any) -> None:
    """Changes the comparison, from a widget's callback."""
    state.remember(COMPARISON, state.recall(COMPARISON).replace(**changes))
    state.remember(PROBLEMS, [])


def change_chosen(**changes: Any) -> None:
    """Changes the chosen configuration's name, preset or fields."""
    now: Comparison = state.recall(COMPARISON)
    configurations = list(now.configurations)
    configurations[now.chosen] = configurations[now.chosen].replace(**changes)
    change(configurations=tuple(configurations))


def change_field(name: str, value: Any) -> None:
    """Changes one field of the chosen configuration; derived fields follow."""
    change_chosen(fields=links.edit_field(chosen().fields, name, value))


def chosen() -> Configuration:
    """The configuration that the controls change."""
    now: Comparison = state.recall(COMPARISON)
    return now.configurations[now.chosen]


def duplicate() -> None:
    """Puts a copy of the chosen configuration behind the last one, and chooses it."""
    now: Comparison = state.recall(COMPARISON)
    if len(now.configurations) >= links.MAX_CONFIGURATIONS:
        return
    names = {one.name for one in now.configurations}
    base = now.configurations[now.chosen]
    stem = "Student" if now.chosen == 0 else base.name
    name = next(text for n in range(2, 9) if (text := f"{stem[: links.MAX_NAME_LENGTH - 2]} {n}") not in names)
    name = stem if stem not in names else name
    change(configurations=(*now.configurations, base.replace(name=name)), chosen=len(now.configurations))


def remove() -> None:
    """Takes the chosen configuration out; one always stays."""
    now: Comparison = state.recall(COMPARISON)
    if len(now.configurations) == 1:
        return
    rest = [one for index, one in enumerate(now.configurations) if index != now.chosen]
    change(configurations=tuple(rest), chosen=max(0, now.chosen - 1))


def held(key: str, value: Any) -> str:
    """Makes `value` what the widget called `key` shows: the comparison is the one truth. The key to draw it with.

    It is drawn with `value` as its default (see app.session.widget_values).
    """
    given.give(key, value)
    return given.key(key)


def keep_link(now: Comparison) -> None:
    """Writes the comparison into the page's link; a configuration that does not fit together is left as it was."""
    if not all(fits(one) for one in now.configurations):
        return
    link = size_link.to_link(now)
    lists = {name: [value] if isinstance(value, str) else list(value) for name, value in link.items()}
    written = state.recall(WRITTEN, [])
    if lists not in written:
        state.remember(WRITTEN, [*written[-MOST_WRITTEN:], lists])
    state.set_whole_link(link)


def fits(configuration: Configuration) -> bool:
    """Whether its fields make a shape."""
    try:
        return bool(configuration.shape)
    except ShapeError:
        return False


def callback(key: str, shows: Any, action: Any) -> Any:
    """A widget's on_change: hands the widget's new value to `action`.

    `shows`: what it is drawn with. A new widget reports that too, and what is true may have moved on by then; once a
    person has changed it, the same value is a way back.
    """

    def changed() -> None:
        value = state.recall(key)
        if value != shows or state.recall(f"moved_{key}"):
            state.remember(f"moved_{key}", True)
            action(value)

    return changed
