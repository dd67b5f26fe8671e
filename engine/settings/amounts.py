"""Amounts as people write them, and back: 55M parameters, 110 MB, 22.5 GFLOPs, 1.5 ms.

Knows units and powers of ten. What a run may spend, such as 5Mtokens, is read by engine/settings/budget.py.
"""

from __future__ import annotations

import math
import re

PREFIXES = ((1e24, "Y"), (1e21, "Z"), (1e18, "E"), (1e15, "P"), (1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
MULTIPLIERS = {"": 1.0, "k": 1e3, "K": 1e3, "M": 1e6, "m": 1e6, "G": 1e9, "B": 1e9, "T": 1e12, "P": 1e15}
TIME_UNITS = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "µs": 1e-6, "μs": 1e-6, "ns": 1e-9}
BINARY_UNITS = {"KiB": 2**10, "MiB": 2**20, "GiB": 2**30, "TiB": 2**40}
LARGEST_AMOUNT = 1e24


def parse_amount(text: str, kind: str) -> float:
    """The number that `text` means; `kind` is parameters, bytes, flops or latency (in seconds).

    Raises:
        ValueError: it is none, not positive, or beyond all reason.
    """
    examples = {"parameters": "55M", "bytes": "110 MB", "flops": "22G", "latency": "1.5 ms"}
    shown = text.strip()[:40]
    matched = re.fullmatch(r"\s*([0-9][0-9,_ ]*(?:\.[0-9]+)?(?:[eE][+-]?[0-9]{1,3})?)\s*([A-Za-zµμ]*)\s*", text[:80])
    if not matched:
        raise ValueError(f"A budget is a number with a unit, such as {examples[kind]}, got {shown!r}.")
    number, unit = float(re.sub("[,_ ]", "", matched[1])), matched[2]
    scale = _scale(unit, kind)
    if scale is None:
        raise ValueError(f"{unit[:20]!r} is no unit of {kind}; write it like {examples[kind]}.")
    value = number * scale
    if not (0 < value <= LARGEST_AMOUNT) or not math.isfinite(value):
        raise ValueError(f"A budget must be above 0 and at most {LARGEST_AMOUNT:g}, got {shown!r}.")
    return value


def _scale(unit: str, kind: str) -> float | None:
    if kind == "latency":
        return TIME_UNITS.get(unit or "s")
    if kind == "bytes":
        if unit in BINARY_UNITS:
            return float(BINARY_UNITS[unit])
        unit = unit[:-1] if unit.endswith("B") and len(unit) > 1 else "" if unit == "B" else unit
    if kind == "flops":
        unit = re.sub("(?i)flops?$", "", unit)
    return MULTIPLIERS.get(unit)


def format_number(value: float, unit: str = "") -> str:
    """`value` in three or so digits with a power: 54.7M, 438 MB (with unit "B"), 28.5 GFLOP."""
    if value == 0:
        return f"0 {unit}".strip()
    size = abs(value)
    if size >= 1e27:
        return f"{value:.2e} {unit}".strip().replace("e+", "e")
    for power, name in PREFIXES:
        if size >= power * 0.9995:
            name = "B" if name == "G" and not unit else name
            return f"{_digits(value / power)}{' ' if unit else ''}{name}{unit}"
    return f"{_digits(value)} {unit}".strip()


def format_duration(seconds: float) -> str:
    """Seconds for people: 3.2 ms, 41 s, 2 h 5 min, 12 days, 3,100 years."""
    for limit, power, unit in ((1e-3, 1e-6, "µs"), (1.0, 1e-3, "ms"), (120.0, 1.0, "s")):
        if seconds < limit * 0.9995:
            return f"{_digits(seconds / power)} {unit}"
    if seconds < 2 * 3600:
        return f"{seconds / 60:,.0f} min"
    if seconds < 48 * 3600:
        hours, minutes = divmod(round(seconds / 60), 60)
        return f"{hours} h {minutes} min"
    days = seconds / 86400
    if days < 730:
        return f"{days:,.0f} days"
    years = days / 365.25
    return f"{years:,.0f} years" if years < 1e9 else f"{years:.1e} years"


def _digits(value: float) -> str:
    size = abs(value)
    return f"{value:,.0f}" if size >= 99.95 else f"{value:.1f}" if size >= 9.995 else f"{value:.2f}"
