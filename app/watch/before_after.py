"""Before and after: what was counted and measured of a teacher and its student, as a small table. Needs no torch."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.elements.tables import table
from app.elements.text import written
from app.elements.theme import theme
from app.session import caches as state
from engine.learning.score_kind import card_accuracies, score_kind_of

BYTES = ("B", "kB", "MB", "GB", "TB")


def show_measured(card: dict[str, Any]) -> None:
    """The table of a run's card, and how its figures were measured; nothing for a run from before they were."""
    found = card.get("measured")
    if not found:
        return
    st.html(table(("Before and after", "Teacher", "Student", "Change"), rows(card), theme(state.dark())))
    st.caption(
        f"Parameters are exact. On disk: all tensors in one file. Forward pass: median of {found['passes']:,} each, "
        f"both taking turns, over {found['rows']:,} rows of {found['length']:,} tokens on {found['device']}."
    )


def rows(card: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(what, teacher's, student's, change) as text; zeros and compressed bytes where the student has many zeros."""
    teacher, student = card["measured"]["teacher"], card["measured"]["student"]
    right = card_accuracies(card)[::-1]
    counts, times = (card["teacher_parameters"], card["parameters"]), (teacher["latency_ms"], student["latency_ms"])
    points = round(100 * (right[1] - right[0]), 1)
    lines = [
        (
            score_kind_of(card).title,
            f"{right[0]:.1%}",
            f"{right[1]:.1%}",
            f"{written(points, '+.1f')} points" if points else "the same",
        ),
        ("Parameters", f"{counts[0]:,}", f"{counts[1]:,}", change(*counts)),
        ("On disk", size(teacher["bytes"]), size(student["bytes"]), change(teacher["bytes"], student["bytes"])),
        ("Forward pass", f"{times[0]:,.1f} ms", f"{times[1]:,.1f} ms", change(*times, "quicker", "slower")),
    ]
    if "compressed_bytes" in student:
        packed = (teacher["compressed_bytes"], student["compressed_bytes"])
        lines.append(("On disk, compressed (zlib)", size(packed[0]), size(packed[1]), change(*packed)))
        lines.append(("Zeros in the layers' matrices", f"{teacher['zeros']:.1%}", f"{student['zeros']:.1%}", ""))
    return lines


def size(count: int) -> str:
    """Bytes for people, in powers of 1,000: "3.39 MB"."""
    value, power = float(count), 0
    while value >= 1000 and power < len(BYTES) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.{2 if value < 100 else 0}f} {BYTES[power]}" if power else f"{count:,} B"


def change(before: float, after: float, less: str = "smaller", more: str = "larger") -> str:
    """What became of an amount: "3.68× smaller", "1.20× larger" or "the same" (to half a percent)."""
    if not before or not after:
        return ""
    ratio = before / after
    if abs(ratio - 1) < 0.005:
        return "the same"
    return f"{ratio:.2f}× {less}" if ratio > 1 else f"{1 / ratio:.2f}× {more}"
