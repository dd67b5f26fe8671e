"""Options: dataclass fields that explain themselves, and how plain values become checked ones.

A method declares its options as a dataclass of `option` fields; the form, the command line and the checks all follow
from it. Knows no option of any method, and no torch.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import field
from typing import Any

LONGEST_SHOWN = 80  # characters of a value in a message


class ConfigError(ValueError):
    """Settings that cannot be run. `problems` lists every reason, one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(" ".join(problems))


def option(
    default: Any,
    help: str,
    *,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] | None = None,
    label: str | None = None,
    advanced: bool = False,
) -> Any:
    """A dataclass field that explains itself: forms draw it, `validation_errors` holds values to it."""
    about = {"help": help, "least": least, "most": most, "choices": choices, "label": label, "advanced": advanced}
    return field(default=default, metadata=about)


def short_repr(value: Any) -> str:
    """`value` for a message, short whatever it is: Python refuses to write out a number of thousands of digits."""
    try:
        shown = repr(value) if not isinstance(value, int) or abs(value) < 10**30 else "a number of many digits"
    except (ValueError, RecursionError):
        shown = "a value that is too deep or too long to show"
    return shown if len(shown) <= LONGEST_SHOWN else f"{shown[:LONGEST_SHOWN]}…"


def validation_errors(record: Any) -> list[str]:
    """What is wrong with a dataclass made of `option` fields, one sentence a problem; empty when nothing is.

    Whole numbers given for fractions are accepted; the other way round is not.
    """
    problems = []
    for spec in dataclasses.fields(record):
        value, about = getattr(record, spec.name), spec.metadata
        kind = getattr(spec.type, "__name__", str(spec.type))  # a type, or its name under deferred annotations
        if kind == "bool":
            if not isinstance(value, bool):
                problems.append(f"{spec.name} must be true or false, got {short_repr(value)}.")
        elif kind == "str":
            if not isinstance(value, str):
                problems.append(f"{spec.name} must be a word, got {short_repr(value)}.")
            elif about.get("choices") and value not in about["choices"]:
                problems.append(f"{spec.name} must be one of {', '.join(about['choices'])}, got {short_repr(value)}.")
        elif kind in ("int", "float"):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole and not (kind == "float" and isinstance(value, float) and math.isfinite(value)):
                whole_word = "whole " if kind == "int" else ""
                problems.append(f"{spec.name} must be a {whole_word}number, got {short_repr(value)}.")
                continue
            least, most = about.get("least"), about.get("most")
            if (least is not None and value < least) or (most is not None and value > most):
                bounds = f"at least {least:g}" if most is None else f"between {least:g} and {most:,g}"
                problems.append(f"{spec.name} must be {bounds}, got {_with_commas(value)}.")
    return problems


def _with_commas(value: float) -> str:
    return f"{value:,}" if abs(value) < 1e30 else short_repr(value)


def parse_options(kind: type, values: dict[str, Any]) -> Any:
    """An instance of the options dataclass `kind` from plain values.

    Raises:
        ConfigError: a name is unknown or a value is out of range.
    """
    known = {spec.name for spec in dataclasses.fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise ConfigError([f"This method has no option {', '.join(str(it)[:40] for it in unknown[:10])}; {has}."])
    record = kind(**values)
    problems = validation_errors(record)
    if problems:
        raise ConfigError(problems)
    return record
