"""What a run may spend, in steps, tokens, FLOPs or seconds: as people write it, as a number, and as whole steps.

Knows units and how a cost adds up over a run's steps; what one step costs, others tell it. A size that is searched for,
such as 55M parameters, is no budget of this kind (see engine/sizing/solver.py). No torch.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.settings.amounts import LARGEST_AMOUNT, MULTIPLIERS, format_duration, format_number

BUDGET_UNITS = ("steps", "tokens", "flops", "seconds")
MAX_STEPS = 100_000_000
SECONDS_PER_UNIT = {"s": 1.0, "sec": 1.0, "second": 1.0, "min": 60.0, "minute": 60.0, "h": 3600.0, "hour": 3600.0}
BUDGET_EXAMPLES = "500steps, 5Mtokens, 2e12flops, 60s or 10min"
BUDGET_HELP = (
    "Tokens count without padding, from the first step on. FLOPs are two a multiply-add of all matrix products, "
    "forward and backward, the teacher's passes, compactors and their fold included. Seconds are those of training "
    "steps; loading, scoring and saving come on top. Whatever is chosen becomes a whole number of steps before the "
    "first one: a run looks at its text, and for seconds it times a few real steps on a copy. For tokens and FLOPs "
    "that number is kept. For seconds the clock decides: a run ends with the last step that fits, and its learning "
    "rate and what closes come to their end there, so two runs of one seed may differ. What was planned stands beside "
    "what was used."
)


@dataclass(frozen=True)
class Budget:
    """An amount of one of BUDGET_UNITS."""

    amount: float
    unit: str

    def __str__(self) -> str:
        """For people, such as `5M tokens`, `2 TFLOPs` or `10 min of training`."""
        return format_budget(self.amount, self.unit)

    @property
    def exact(self) -> str:
        """As `parse_budget` takes it, with every digit, such as `5000000 tokens`."""
        return f"{self.amount:.15g} {self.unit}"


def format_budget(amount: float, unit: str) -> str:
    """`amount` of one of BUDGET_UNITS, for people."""
    if unit == "seconds":
        return f"{format_duration(amount)} of training"
    if unit == "flops":
        return format_number(amount, "FLOPs")
    return f"{amount:,.0f} {unit}" if amount < 10_000 or unit == "steps" else f"{format_number(amount)} {unit}"


def parse_budget(text: str) -> Budget:
    """The budget that `text` means, such as 500steps, 5Mtokens, 2e12flops, 60s.

    Raises:
        ValueError: it is none, not positive, or beyond all reason.
    """
    shown = text.strip()[:40]
    matched = re.fullmatch(
        r"\s*([0-9][0-9,_]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)\s*([A-Za-z]+(?: [A-Za-z]+)?)\s*", text[:80]
    )
    if not matched:
        raise ValueError(f"A budget is a number with a unit, such as {BUDGET_EXAMPLES}, got {shown!r}.")
    unit, scale = _unit(matched[2].replace(" ", ""))
    if not unit:
        raise ValueError(f"{matched[2][:20]!r} is no unit of a budget; write it like {BUDGET_EXAMPLES}.")
    amount = float(re.sub("[,_]", "", matched[1])) * scale
    most = MAX_STEPS if unit == "steps" else LARGEST_AMOUNT
    if not 0 < amount <= most:
        raise ValueError(f"A budget must be above 0 and at most {most:g} {unit}, got {shown!r}.")
    if unit == "steps" and amount != round(amount):
        raise ValueError(f"Steps are whole, got {shown!r}.")
    return Budget(amount, unit)


def _unit(word: str) -> tuple[str, float]:
    """(one of BUDGET_UNITS, how many of it `word` stands for), or ("", 0)."""
    for unit in ("steps", "tokens", "flops"):
        found = re.fullmatch(f"(?P<power>[A-Za-z]?)(?i:{unit}?)", word)
        if found and found["power"] in MULTIPLIERS:
            return unit, MULTIPLIERS[found["power"]]
    time = word.lower()
    time = time[:-1] if time.endswith("s") and time[:-1] in SECONDS_PER_UNIT else time
    return ("seconds", SECONDS_PER_UNIT[time]) if time in SECONDS_PER_UNIT else ("", 0.0)


def sum_over_steps(cost: Callable[[int], float], phases: Sequence[int], steps: int) -> float:
    """The sum of `cost(step)` over the steps 1 to `steps`, where it changes only at `phases` (ascending, from 1)."""
    begins = [phase for phase in phases if phase <= steps]
    ends = [*begins[1:], steps + 1] if begins else []
    return sum(cost(begin) * (end - begin) for begin, end in zip(begins, ends, strict=True))


def steps_for_budget(total: Callable[[int], float], amount: float) -> int:
    """The most steps whose `total(steps)` is within `amount`, or close below it where it rises unevenly; 0: not one.

    `total` rises about in proportion: from any number of steps on, the next guess is a rule of three.
    """
    steps = 1
    for _ in range(30):
        guess = max(1, min(MAX_STEPS, int(steps * amount / total(steps))))
        if guess == steps:
            break
        steps = guess
    while steps and (now := total(steps)) > amount:
        steps -= max(1, int(steps * (1 - amount / now)))
    steps = max(0, steps)
    for percent in (10, 5, 2, 1):  # a longer run may take less: one that closes at other steps
        more = min(MAX_STEPS, steps + steps * percent // 100)
        if more > steps and total(more) <= amount:
            steps = more
            break
    for _ in range(20):
        if steps == MAX_STEPS or total(steps + 1) > amount:
            break
        steps += 1
    return steps


@dataclass(frozen=True)
class CostEstimate:
    """What a run is expected to take; None: nobody knows before it starts."""

    steps: int | None
    tokens: float | None = None
    flops: float | None = None
    seconds: float | None = None  # of training steps
    full_rows: bool = False  # tokens and FLOPs are those of rows without padding: the most that they can be
    course: Sequence[tuple[int, float]] = ()  # (from which step on, seconds a step), where a step's seconds are known

    def to_json(self) -> dict[str, Any]:
        """Every field but the course as a plain value, tokens and FLOPs whole."""
        whole = {name: None if value is None else round(value) for name, value in self._counts().items()}
        return {**whole, "seconds": self.seconds, "full_rows": self.full_rows}

    def _counts(self) -> dict[str, float | None]:
        return {"steps": self.steps, "tokens": self.tokens, "flops": self.flops}

    @staticmethod
    def from_json(data: dict[str, Any]) -> CostEstimate:
        """The estimate that `to_json` wrote, with its course if that was put beside it.

        Raises:
            ValueError: it is something else.
        """
        counts = {name: data.get(name) for name in ("steps", "tokens", "flops", "seconds")}
        course, known = data.get("course", []), {spec.name for spec in dataclasses.fields(CostEstimate)}
        whole = counts["steps"] is None or (type(counts["steps"]) is int and counts["steps"] <= MAX_STEPS)
        pairs = isinstance(course, list) and all(isinstance(it, list) and len(it) == 2 for it in course)
        if (
            "steps" not in data
            or set(data) - known
            or not whole
            or not pairs
            or not isinstance(data.get("full_rows", False), bool)
        ):
            raise ValueError("What was planned for this run (budget.json) is damaged; start the run anew.")
        if not all(value is None or _is_amount(value) for value in (*counts.values(), *sum(course, []))):
            raise ValueError("What was planned for this run (budget.json) has amounts that cannot be; start it anew.")
        return CostEstimate(**data)


def _is_amount(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LARGEST_AMOUNT
