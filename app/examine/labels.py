"""Names of layers and heads, and numbers, as the examine page writes them."""

from __future__ import annotations

import math

from app.elements.text import format_number


def signed(value: float, digits: int = 3) -> str:
    """A change with its sign, a true minus among them."""
    return format_number(value, f"+.{digits}f")


def minus(value: float, digits: int = 2) -> str:
    """A number with a true minus where it is below zero."""
    return format_number(value, f".{digits}f")


def interval_text(low: float, high: float, digits: int = 2) -> str:
    """Both ends of an interval, with true minus signs: "0.12 to 0.34"; a dash where they are not known."""
    return "–" if math.isnan(low) else f"{minus(low, digits)} to {minus(high, digits)}"


def plus_minus(interval: float | None) -> str:
    """ " ± 1.2" in points, half an interval of a share (0-1); nothing where it is not known."""
    return "" if interval is None else f" ± {100 * interval:.1f}"


def head_names(count: int) -> list[str]:
    """The names of `count` heads, counted from 1."""
    return [f"head {number + 1}" for number in range(count)]


def layer_names(count: int) -> list[str]:
    """The names of `count` layers, counted from 1."""
    return [f"layer {number + 1}" for number in range(count)]


def head_label(layer: int, head: int) -> str:
    """A head (layer and head from 0) for people: "layer 2, head 1"."""
    return f"layer {layer + 1}, head {head + 1}"


def p_value(value: float) -> str:
    """A p value, small ones with more digits."""
    return f"{value:.4f}" if value < 0.01 else f"{value:.2f}"
