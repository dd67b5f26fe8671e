"""Before and after: what was counted and measured of a teacher and its student, as a small table. Needs no torch."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app.elements.tables import html_table
from app.elements.text import escape_markdown, format_number
from app.session.browser import current_theme
from engine.learning.score_kind import card_accuracies, score_kind_of

BYTE_UNITS = ("B", "kB", "MB", "GB", "TB")


def show_before_after(card: dict[str, Any]) -> None:
    """The table of a run's card, and how its figures were measured; nothing for a run from before they were."""
    found = card.get("measured")
    if not found:
        return
    st.html(html_table(("Before and after", "Teacher", "Student", "Change"), comparison_rows(card), current_theme()))
    st.caption(
        f"Parameters are exact. On disk: all tensors in one file. Forward pass: median of {found['passes']:,} each, "
        f"both taking turns, over {found['rows']:,} rows of {found['length']:,} tokens on "
        f"{escape_markdown(found['device'])}."
    )


def comparison_rows(card: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(what, teacher's, student's, change) as text; zeros and compressed bytes where the student has many zeros."""
    teacher, student = card["measured"]["teacher"], card["measured"]["student"]
    scores = card_accuracies(card)[::-1]
    counts, times = (card["teacher_parameters"], card["parameters"]), (teacher["latency_ms"], student["latency_ms"])
    points = round(100 * (scores[1] - scores[0]), 1)
    lines = [
        (
            score_kind_of(card).title,
            f"{scores[0]:.1%}",
            f"{scores[1]:.1%}",
            f"{format_number(points, '+.1f')} points" if points else "the same",
        ),
        ("Parameters", f"{counts[0]:,}", f"{counts[1]:,}", describe_change(*counts)),
        (
            "On disk",
            format_bytes(teacher["bytes"]),
            format_bytes(student["bytes"]),
            describe_change(teacher["bytes"], student["bytes"]),
        ),
        ("Forward pass", f"{times[0]:,.1f} ms", f"{times[1]:,.1f} ms", describe_change(*times, "quicker", "slower")),
    ]
    if "compressed_bytes" in student:
        compressed = (teacher["compressed_bytes"], student["compressed_bytes"])
        lines.append(
            (
                "On disk, compressed (zlib)",
                format_bytes(compressed[0]),
                format_bytes(compressed[1]),
                describe_change(*compressed),
            )
        )
        lines.append(("Zeros in the layers' matrices", f"{teacher['zeros']:.1%}", f"{student['zeros']:.1%}", ""))
    return lines


def format_bytes(count: int) -> str:
    """Bytes for people, in powers of 1,000: "3.39 MB"."""
    value, power = float(count), 0
    while value >= 1000 and power < len(BYTE_UNITS) - 1:
        value, power = value / 1000, power + 1
    return f"{value:.{2 if value < 100 else 0}f} {BYTE_UNITS[power]}" if power else f"{count:,} B"


def describe_change(before: float, after: float, less: str = "smaller", more: str = "larger") -> str:
    """What became of an amount: "3.68× smaller", "1.20× larger" or "the same" (to half a percent)."""
    if not before or not after:
        return ""
    ratio = before / after
    if abs(ratio - 1) < 0.005:
        return "the same"
    return f"{ratio:.2f}× {less}" if ratio > 1 else f"{1 / ratio:.2f}× {more}"
