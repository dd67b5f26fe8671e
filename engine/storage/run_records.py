"""What stands in a run's events and on its card: which values there are, of which kind, in which range.

Run folders come from anywhere: from an older version, another machine, a stranger. Whoever draws, prints or computes
from an event or a card gets it through here, and may then use what is listed as needed without another look. Fields
that are not listed pass as they are. Plain values only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from engine.storage.json_file import kind_name

Test = Callable[[Any], bool]
Fields = Mapping[str, tuple[str, Test]]  # name -> what it should be, and whether it is

LARGEST = 1e30  # of any number: beyond what was ever counted
LARGEST_STEP = 10**12
LONGEST_TEXT = 20_000  # characters


class RunRecordError(ValueError):
    """A card that cannot be used, in half a sentence that begins with a verb: "has no 'scores'"."""


def is_number(value: Any) -> bool:
    """Whether it is a finite number that can be drawn; true and false are none."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -LARGEST < value < LARGEST


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < LARGEST


def _is_step(value: Any) -> bool:
    return _is_count(value) and value <= LARGEST_STEP


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST_TEXT


def _are_numbers(value: Any) -> bool:
    return isinstance(value, dict) and all(map(is_number, value.values()))


def _are_scores(value: Any) -> bool:
    return isinstance(value, dict) and all(one is None or is_number(one) for one in value.values())


def _is_measure(value: Any) -> bool:
    names = {"name", "title", "of", "question"}
    return not value or (isinstance(value, dict) and set(value) == names and all(map(_is_text, value.values())))


def _or_nothing(field: tuple[str, Test]) -> tuple[str, Test]:
    return f"{field[0]} or nothing", lambda value: value is None or field[1](value)


def _record(needed: Fields) -> tuple[str, Test]:
    names = ", ".join(needed)
    return f"an object with {names}", lambda value: isinstance(value, dict) and not _problem(value, needed, {})


NUMBER, COUNT, STEP = ("a number", is_number), ("a whole number", _is_count), ("a step's number", _is_step)
POSITIVE: tuple[str, Test] = ("a whole number above 0", lambda value: _is_count(value) and value > 0)
TEXT, OBJECT = ("a text", _is_text), ("an object", lambda value: isinstance(value, dict))
FLAG = ("true or false", lambda value: isinstance(value, bool))
NUMBERS, SCORES = ("an object of numbers", _are_numbers), ("an object of numbers", _are_scores)
MEASURE = ("a kind of score", _is_measure)
SECONDS: tuple[str, Test] = ("seconds", lambda value: is_number(value) and value >= 0)
SHARE: tuple[str, Test] = ("a share", lambda value: is_number(value) and 0 <= value <= 1)

NEEDED_OF_EVENTS: dict[str, Fields] = {
    "start": {"step": STEP, "steps": STEP},
    "prepare": {"message": TEXT},
    "teacher": {"accuracy": NUMBER},
    "step": {
        "step": STEP,
        "loss": NUMBER,
        "losses": NUMBERS,
        "numbers": NUMBERS,
        "tokens_per_second": NUMBER,
        "step_seconds": SECONDS,
        "seconds_left": SECONDS,
    },
    "evaluation": {"step": STEP, "accuracy": NUMBER},
    "attention": {"step": STEP},
    "picture": {"step": STEP},
    "checkpoint": {"step": STEP},
    "queued": {},
    "notice": {"message": TEXT},
    "out_of_memory": {"message": TEXT},
}
ALLOWED_IN_EVENTS: dict[str, Fields] = {
    "start": {
        "measure": MEASURE,
        "device_name": TEXT,
        "processes": POSITIVE,
        "numbers_title": TEXT,
        "numbers_unit": TEXT,
        "student_shape": _or_nothing(OBJECT),
    },
    "prepare": {"share": SHARE, "seconds_left": _or_nothing(SECONDS)},
    "teacher": {"loss": _or_nothing(NUMBER)},
    "step": {
        "steps": STEP,
        **dict.fromkeys(("tokens", "flops", "training_seconds", "seconds"), _or_nothing(NUMBER)),
    },
    "evaluation": {"loss": _or_nothing(NUMBER)},
    "waiting": {"device": TEXT},
    "failed": {"message": TEXT},
    "stopped": {"message": TEXT},
}
OF_EVERY_EVENT: Fields = {"time": NUMBER}

NEEDED_ON_CARDS: Fields = {
    "method": TEXT,
    "teacher": TEXT,
    "corpus": TEXT,
    "scores": SCORES,
    "shape": OBJECT,
    "parameters": POSITIVE,
    "teacher_parameters": POSITIVE,
    "steps": STEP,
    "steps_done": STEP,
    "complete": FLAG,
    "length": POSITIVE,
    "batch": POSITIVE,
    "seed": COUNT,
    "seconds": SECONDS,
    "device_name": TEXT,
    "precision": TEXT,
}
_BEFORE = {"bytes": COUNT, "latency_ms": NUMBER}
ALLOWED_ON_CARDS: Fields = {
    "id": TEXT,
    "parent": _or_nothing(TEXT),
    "options": OBJECT,
    "versions": OBJECT,
    "measure": MEASURE,
    "processes": POSITIVE,
    "tokens": NUMBER,
    "flops": NUMBER,
    "training_seconds": SECONDS,
    "budget": _or_nothing(OBJECT),
    "measured": _or_nothing(
        _record(
            {
                "teacher": _record(_BEFORE),
                "student": _record(_BEFORE),
                "passes": COUNT,
                "rows": COUNT,
                "length": COUNT,
                "device": TEXT,
            }
        )
    ),
}
_COMPRESSED = {"compressed_bytes": COUNT, "zeros": NUMBER}


def event_problem(event: Mapping[str, Any]) -> str:
    """What is wrong with an event of its kind, such as "has no 'loss'"; empty where it can be drawn."""
    kind = event.get("kind")
    if not _is_text(kind):
        return "has no 'kind'"
    allowed = {**OF_EVERY_EVENT, **ALLOWED_IN_EVENTS.get(str(kind), {})}
    return _problem(event, NEEDED_OF_EVENTS.get(str(kind), {}), allowed)


def check_card(card: Mapping[str, Any]) -> None:
    """Raises RunRecordError unless what stands on a run's `card` has the kinds and ranges that its readers count on."""
    problem = _problem(card, NEEDED_ON_CARDS, ALLOWED_ON_CARDS)
    if not problem:
        name = (card.get("measure") or {"name": "masked"})["name"]
        scores = dict.fromkeys(("retained", f"{name}_accuracy", f"teacher_{name}_accuracy"), NUMBER)
        problem = _problem(card["scores"], scores, {})
    measured = card.get("measured")
    if not problem and measured and "compressed_bytes" in measured["student"]:
        problem = _problem(measured["student"], _COMPRESSED, {}) or _problem(measured["teacher"], _COMPRESSED, {})
    if problem:
        raise RunRecordError(problem)


def _problem(record: Mapping[str, Any], needed: Fields, allowed: Fields) -> str:
    for name, (should, fits) in needed.items():
        if name not in record:
            return f"has no {name!r}"
        if not fits(record[name]):
            return _mismatch(name, should, record[name])
    for name, (should, fits) in allowed.items():
        if name in record and not fits(record[name]):
            return _mismatch(name, should, record[name])
    return ""


def _mismatch(name: str, should: str, value: Any) -> str:
    found = kind_name(value)
    if isinstance(value, int | float) and not isinstance(value, bool):
        found = f"{value:.6g}" if abs(value) < LARGEST else "a number beyond all reason"
    return f"should have {should} as {name!r}, and has {found}"
