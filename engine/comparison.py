"""Comparison: up to four named configurations and what is looked at, as one readable link and back.

A link looks like ?v=1&c=bert-base~name.Teacher&c=bert-base~hidden.384~name.Student: a preset each, the fields that differ
from it, and a name. Reading never fails: what makes no sense is left at its default and said in words.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from engine.footprint import PRECISIONS, TRAINING_PRECISIONS
from engine.presets import PRESETS, find
from engine.roofline import NAMES
from engine.shape import DERIVED, Shape, ShapeError

VERSION = "1"
MOST = 4  # configurations side by side
LONGEST_NAME = 40
MOST_PROBLEMS = 6  # said of one link
LONGEST_VALUE = 60  # of a link's value in a message
SHAPE_FIELDS = tuple(spec.name for spec in dataclasses.fields(Shape))
SWITCHES = ("pooler", "mlm_head", "pair_head", "tied")
WORDS = ("family", "sharing", "activation")
NUMBERS = tuple(name for name in SHAPE_FIELDS if name not in (*SWITCHES, *WORDS))
TABS = ("formula", "tensors", "cost", "backwards", "what-if", "papers")
FOLLOWS = "auto"  # a derived field that follows from the others
_ODD_RATIOS = 64  # an FFN that is a whole number of 64ths of the width goes on being that


def fields_of(shape: Shape) -> dict[str, Any]:
    """The fields of `shape` for editing: a derived field that has its default value is None, and follows."""
    fields = {name: getattr(shape, name) for name in SHAPE_FIELDS}
    if shape.inner == shape.hidden:
        fields["head_dim"] = None
    if shape.ffn == 4 * shape.hidden:
        fields["ffn"] = None
    if shape.embedding == shape.hidden and shape.family != "albert":
        fields["embedding"] = None
    return fields


def edited(fields: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """`fields` with one changed. An FFN that is a simple multiple of the width stays that multiple of a new width."""
    new = {**fields, name: value}
    if name == "hidden" and fields.get("ffn") is not None and isinstance(value, int) and isinstance(fields[name], int):
        old = fields["hidden"]
        if old > 0 and _ODD_RATIOS * fields["ffn"] % old == 0:
            new["ffn"] = max(1, fields["ffn"] * value // old)
    if name == "ffn" and isinstance(value, int) and value == 4 * fields["hidden"]:
        new["ffn"] = None
    if name == "pair_head" and value:
        new["pooler"] = True
    if name == "pooler" and not value:
        new["pair_head"] = False
    return new


@dataclass(frozen=True)
class Configuration:
    """One model of a comparison. `fields` are Shape's; they may not fit together, and `shape` then says why."""

    name: str
    preset: str = "bert-base"  # where it started
    fields: Mapping[str, Any] = field(default_factory=lambda: fields_of(Shape()))

    @staticmethod
    def of(preset: str, name: str = "", **changes: Any) -> Configuration:
        """The configuration of a preset, with changed fields.

        Raises:
            ShapeError: there is no such preset.
        """
        found = find(preset)
        return Configuration(name or found.label, preset, {**fields_of(found.shape), **changes})

    @property
    def shape(self) -> Shape:
        """The shape.

        Raises:
            ShapeError: the fields do not fit together.
        """
        return Shape(**self.fields)

    def replace(self, **changes: Any) -> Configuration:
        """A copy with other name, preset or fields."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class Comparison:
    """The configurations side by side, the first being the teacher, and what is looked at."""

    configurations: tuple[Configuration, ...]
    chosen: int = 1  # which configuration the controls change, from 0
    tab: str = "formula"
    part: str = ""  # of the formula and the tensors; empty: all
    tokens: int = 128
    sequences: int = 32
    precision: str = "float32"  # of training
    run_precision: str = "bfloat16"  # of running on a device
    device: str = ""
    steps: int = 100_000

    def replace(self, **changes: Any) -> Comparison:
        """A copy with changes."""
        return dataclasses.replace(self, **changes)


def default() -> Comparison:
    """What a page without a link begins with: BERT base, and a student half as wide."""
    return Comparison((Configuration.of("bert-base", "Teacher"), Configuration.of("bert-base", "Student", hidden=384)))


# ---- the link --------------------------------------------------------------------------------------------------------

_VIEW: dict[str, tuple[str, Sequence[str] | tuple[int, int]]] = {  # link's word -> (field, what is allowed)
    "at": ("chosen", (0, MOST - 1)),
    "tab": ("tab", TABS),
    "part": ("part", ("", "embeddings", "attention", "ffn", "layer norms", "pooler", "heads")),
    "tokens": ("tokens", (1, 10**12)),
    "batch": ("sequences", (1, 10**12)),
    "precision": ("precision", TRAINING_PRECISIONS),
    "run": ("run_precision", tuple(PRECISIONS)),
    "device": ("device", tuple(NAMES)),
    "steps": ("steps", (1, 10**12)),
}


def to_link(comparison: Comparison) -> dict[str, str | list[str]]:
    """The comparison as query parameters; the default comparison is no parameter at all."""
    if comparison == default():
        return {}
    link: dict[str, str | list[str]] = {"v": VERSION, "c": [_write(one) for one in comparison.configurations]}
    plain = default()
    for word, (name, _) in _VIEW.items():
        value = getattr(comparison, name)
        if value != getattr(plain, name):
            link[word] = str(value)
    return link


def from_link(link: Mapping[str, Sequence[str]]) -> tuple[Comparison, list[str]]:
    """The comparison of query parameters (a list of values each), and what was refused, one sentence each."""
    problems: list[str] = []
    version = (link.get("v") or [VERSION])[-1]
    if version != VERSION:
        problems.append(f"This link is of version {show(version)}, and this page reads version {VERSION}.")
    wanted = list(link.get("c") or [])
    if len(wanted) > MOST:
        problems.append(f"At most {MOST} configurations stand side by side; this link has {len(wanted):,}.")
    if wanted:
        configurations = tuple(_read(text, index, problems) for index, text in enumerate(wanted[:MOST]))
    else:
        configurations = default().configurations
    view: dict[str, Any] = {}
    for word, (name, allowed) in _VIEW.items():
        if link.get(word):
            value = _view_value(word, link[word][-1], allowed, problems)
            view |= {} if value is None else {name: value}
    view["chosen"] = min(view.get("chosen", 1), len(configurations) - 1)
    if len(problems) > MOST_PROBLEMS:
        problems = [*problems[:MOST_PROBLEMS], f"And {len(problems) - MOST_PROBLEMS:,} more."]
    return Comparison(configurations, **view), problems


def show(text: object) -> str:
    """A link's value for a message: short, on one line."""
    shown = " ".join(str(text).split())
    return repr(shown if len(shown) <= LONGEST_VALUE else f"{shown[: LONGEST_VALUE - 3]}...")


def clean_name(text: str, otherwise: str) -> str:
    """A name for a configuration: one line of printable text, not too long."""
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(printable.split())[:LONGEST_NAME].strip() or otherwise


def _write(configuration: Configuration) -> str:
    plain = fields_of(find(configuration.preset).shape)
    pieces = [configuration.preset]
    for name in SHAPE_FIELDS:
        value = configuration.fields.get(name, plain[name])
        if value != plain[name]:
            pieces.append(f"{name}.{_value_text(value)}")
    return "~".join([*pieces, f"name.{quote(configuration.name, safe=' ')}"])


def _value_text(value: Any) -> str:
    return FOLLOWS if value is None else ("yes" if value else "no") if isinstance(value, bool) else str(value)


def _read(text: str, index: int, problems: list[str]) -> Configuration:
    """One configuration of a link; what it cannot be is said in `problems` and left at the preset's value."""
    pieces = text[:2000].split("~")
    otherwise = "Teacher" if index == 0 else f"Student {index}" if index > 1 else "Student"
    preset, name, changes = pieces[0], "", {}
    if preset not in PRESETS:
        problems.append(f"There is no preset {show(preset)}; BERT base stands in its place.")
        preset = "bert-base"
    plain = fields_of(PRESETS[preset].shape)
    for piece in pieces[1:]:
        key, _, value = piece.partition(".")
        if key == "name":
            name = unquote(value)
        elif key not in plain:
            problems.append(f"A shape has no field {show(key)}; it was left out.")
        else:
            parsed, wrong = _parse(key, value)
            if wrong:
                problems.append(wrong)
            else:
                changes[key] = parsed
    name = clean_name(name, otherwise)
    return Configuration(name, preset, _legal(plain, changes, name, problems))


def _legal(plain: dict[str, Any], changes: dict[str, Any], name: str, problems: list[str]) -> dict[str, Any]:
    """`plain` with as many of `changes` as fit together."""
    try:
        Shape(**{**plain, **changes})
    except ShapeError as error:
        problems += [f"{show(name)}: {problem}" for problem in error.problems]
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
    if key in SWITCHES:
        if text in ("yes", "no"):
            return text == "yes", ""
        return None, f"{key} must be yes or no, got {show(text)}."
    if key in WORDS:
        return text, ""
    if key in DERIVED and text == FOLLOWS:
        return None, ""
    if not re.fullmatch(r"-?[0-9]{1,30}", text):
        return None, f"{key} must be a whole number, got {show(text)}."
    return int(text), ""


def _view_value(word: str, text: str, allowed: Sequence[Any], problems: list[str]) -> Any:
    if allowed and isinstance(allowed[0], int):
        low, high = allowed
        if not re.fullmatch(r"[0-9]{1,13}", text) or not low <= int(text) <= high:
            problems.append(f"{word} must be a whole number between {low:,} and {high:,}, got {show(text)}.")
            return None
        return int(text)
    if text not in allowed:
        choices = ", ".join(str(one) for one in allowed if one)
        problems.append(f"{word} must be one of {choices}, got {show(text)}.")
        return None
    return text
