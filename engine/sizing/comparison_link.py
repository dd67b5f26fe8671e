"""A comparison as a link that people can read, and back.

A link looks like ?v=1&c=bert-base~name.Teacher&c=bert-base~hidden.384~name.Student: a preset each, the fields that
differ from it, and a name. Reading never fails: what makes no sense is left at its default and said in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote, unquote

from engine.settings.amounts import parse_amount
from engine.sizing.comparison import (
    CHOICE_FIELDS,
    MAX_CONFIGURATIONS,
    SHAPE_FIELDS,
    SWITCH_FIELDS,
    TABS,
    TRAINED_MODELS,
    Comparison,
    Configuration,
    clean_name,
    default_comparison,
    editable_fields,
)
from engine.sizing.footprint import PRECISIONS, TRAINING_PRECISIONS
from engine.sizing.memory.operations import MEMORY_DEVICES
from engine.sizing.memory.state import OPTIMIZER_LABELS
from engine.sizing.presets import PRESETS, find_preset
from engine.sizing.roofline import DEVICE_LABELS
from engine.sizing.shape import DERIVED_FIELDS, Shape, ShapeError
from engine.sizing.solver import BUDGET_KINDS, KEEPABLE_FIELDS

VERSION = "1"
MAX_PROBLEMS = 6  # said of one link
LONGEST_VALUE = 60  # of a link's value in a message
KEEP_NOTHING = "nothing"  # is kept
DERIVED_VALUE = "auto"  # a derived field that follows from the others

_VIEW: dict[str, tuple[str, Sequence[str] | tuple[int, int]]] = {  # link's word -> (field, what is allowed)
    "at": ("chosen", (0, MAX_CONFIGURATIONS - 1)),
    "tab": ("tab", TABS),
    "part": ("part", ("", "embeddings", "attention", "ffn", "layer norms", "pooler", "heads")),
    "tokens": ("tokens", (1, 10**12)),
    "batch": ("sequences", (1, 10**12)),
    "precision": ("precision", TRAINING_PRECISIONS),
    "trained": ("trained_model", TRAINED_MODELS),
    "on": ("memory_device", MEMORY_DEVICES),
    "optimizer": ("optimizer", tuple(OPTIMIZER_LABELS)),
    "checkpointing": ("checkpointing", ("no", "yes")),
    "micro": ("micro_batches", (1, 10**12)),
    "devices": ("devices", (1, 10**6)),
    "zero": ("zero", (0, 3)),
    "run": ("run_precision", tuple(PRECISIONS)),
    "device": ("device", tuple(DEVICE_LABELS)),
    "steps": ("steps", (1, 10**12)),
    "sweep": ("sweep", tuple(name for name in SHAPE_FIELDS if name not in ("family", "activation"))),
    "of": ("budget_of", BUDGET_KINDS),
}


def to_link(comparison: Comparison) -> dict[str, str | list[str]]:
    """The comparison as query parameters; the default comparison is no parameter at all."""
    if comparison == default_comparison():
        return {}
    link: dict[str, str | list[str]] = {"v": VERSION, "c": [_write(one) for one in comparison.configurations]}
    plain = default_comparison()
    for word, (name, _) in _VIEW.items():
        value = getattr(comparison, name)
        if value != getattr(plain, name):
            link[word] = str(value)
    if comparison.budget != plain.budget:
        link["budget"] = comparison.budget
    if comparison.keep != plain.keep:
        link["keep"] = ",".join(comparison.keep) or KEEP_NOTHING
    return link


def from_link(link: Mapping[str, Sequence[str]]) -> tuple[Comparison, list[str]]:
    """The comparison of query parameters (a list of values each), and what was refused, one sentence each."""
    problems: list[str] = []
    version = (link.get("v") or [VERSION])[-1]
    if version != VERSION:
        problems.append(f"This link is of version {shortened_value(version)}, and this page reads version {VERSION}.")
    wanted = list(link.get("c") or [])
    if len(wanted) > MAX_CONFIGURATIONS:
        problems.append(
            f"At most {MAX_CONFIGURATIONS} configurations stand side by side; this link has {len(wanted):,}."
        )
    if wanted:
        configurations = tuple(_read(text, problems) for text in wanted[:MAX_CONFIGURATIONS])
    else:
        configurations = default_comparison().configurations
    view: dict[str, Any] = {}
    for word, (name, allowed) in _VIEW.items():
        if link.get(word):
            value = _view_value(word, link[word][-1], allowed, problems)
            view |= {} if value is None else {name: value}
    view |= _question(link, view.get("budget_of", BUDGET_KINDS[0]), problems)
    view["chosen"] = min(view.get("chosen", 1), len(configurations) - 1)
    if len(problems) > MAX_PROBLEMS:
        problems = [*problems[:MAX_PROBLEMS], f"And {len(problems) - MAX_PROBLEMS:,} more."]
    return Comparison(configurations, **view), problems


def shortened_value(text: object) -> str:
    """A link's value for a message: short, on one line."""
    shown = " ".join(str(text).split())
    return repr(shown if len(shown) <= LONGEST_VALUE else f"{shown[: LONGEST_VALUE - 3]}...")


def _write(configuration: Configuration) -> str:
    plain = editable_fields(find_preset(configuration.preset).shape)
    pieces = [configuration.preset]
    for name in SHAPE_FIELDS:
        value = configuration.fields.get(name, plain[name])
        if value != plain[name]:
            pieces.append(f"{name}.{_value_text(value)}")
    name = quote(configuration.name, safe=" ").replace("~", "%7E")  # our own sign between pieces
    return "~".join([*pieces, f"name.{name}"])


def _value_text(value: Any) -> str:
    return DERIVED_VALUE if value is None else ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _read(text: str, problems: list[str]) -> Configuration:
    """One configuration of a link; what it cannot be is said in `problems` and left at the preset's value."""
    pieces = text[:2000].split("~")
    preset, name, changes = pieces[0], "", {}
    if preset not in PRESETS:
        problems.append(f"There is no preset {shortened_value(preset)}; BERT base stands in its place.")
        preset = "bert-base"
    plain = editable_fields(PRESETS[preset].shape)
    for piece in pieces[1:]:
        key, _, value = piece.partition(".")
        if key == "name":
            name = unquote(value)
        elif key not in plain:
            problems.append(f"A shape has no field {shortened_value(key)}; it was left out.")
        else:
            parsed, wrong = _parse(key, value)
            if wrong:
                problems.append(wrong)
            else:
                changes[key] = parsed
    name = clean_name(name, PRESETS[preset].label)
    return Configuration(name, preset, _legal(plain, changes, name, problems))


def _legal(plain: dict[str, Any], changes: dict[str, Any], name: str, problems: list[str]) -> dict[str, Any]:
    """`plain` with as many of `changes` as fit together."""
    try:
        Shape(**{**plain, **changes})
    except ShapeError as error:
        problems += [f"{shortened_value(name)}: {problem}" for problem in error.problems]
    else:
        return {**plain, **changes}
    for left_out in changes:  # usually one value is to blame, and the others can stay
        rest = {key: value for key, value in changes.items() if key != left_out}
        try:
            Shape(**{**plain, **rest})
        except ShapeError:
            continue
        return {**plain, **rest}
    return plain


def _parse(key: str, text: str) -> tuple[Any, str]:
    """(the value of a field as a link writes it, what is wrong with it)."""
    if key in SWITCH_FIELDS:
        if text in ("yes", "no"):
            return text == "yes", ""
        return None, f"{key} must be yes or no, got {shortened_value(text)}."
    if key in CHOICE_FIELDS:
        return text, ""
    if key in DERIVED_FIELDS and text == DERIVED_VALUE:
        return None, ""
    if not re.fullmatch(r"-?[0-9]{1,30}", text):
        return None, f"{key} must be a whole number, got {shortened_value(text)}."
    return int(text), ""


def _question(link: Mapping[str, Sequence[str]], kind: str, problems: list[str]) -> dict[str, Any]:
    """Budget and what is kept, where they make sense."""
    found: dict[str, Any] = {}
    if link.get("budget"):
        try:
            parse_amount(link["budget"][-1], kind)
            found["budget"] = link["budget"][-1].strip()[:40]
        except ValueError as error:
            problems.append(str(error))
    if link.get("keep"):
        names = [name for name in link["keep"][-1][:200].split(",") if name not in ("", KEEP_NOTHING)]
        unknown = [name for name in names if name not in KEEPABLE_FIELDS]
        if unknown:
            problems.append(f"{shortened_value(unknown[0])} cannot be kept; choose from {', '.join(KEEPABLE_FIELDS)}.")
        found["keep"] = tuple(name for name in KEEPABLE_FIELDS if name in names)
    return found


def _view_value(word: str, text: str, allowed: Sequence[Any], problems: list[str]) -> Any:
    if allowed and isinstance(allowed[0], int):
        low, high = allowed
        if not re.fullmatch(r"[0-9]{1,13}", text) or not low <= int(text) <= high:
            problems.append(f"{word} must be a whole number between {low:,} and {high:,}, got {shortened_value(text)}.")
            return None
        return int(text)
    if text not in allowed:
        choices = ", ".join(str(one) for one in allowed if one)
        problems.append(f"{word} must be one of {choices}, got {shortened_value(text)}.")
        return None
    return text
