"""Before and after: what was measured of a teacher and its student, as a small table. Reads a card; needs no torch."""

from __future__ import annotations

from typing import Any

import streamlit as st

from app import state
from app.tables import table
from app.theme import theme

BYTES = ("B", "kB", "MB", "GB", "TB")


def show_measured(found: dict[str, Any]) -> None:
    """The table, and how it was measured."""
    st.html(table(("Measured", "Teacher", "Student", "Change"), rows(found), theme(state.dark())))
    st.caption(
        f"Bytes of all tensors in one file. Time: median of {found['passes']:,} forward passes each, both taking "
        f"turns, over {found['rows']:,} rows of {found['length']:,} tokens on {found['device']}."
    )


def rows(found: dict[str, Any]) -> list[tuple[str, str, str, str]]:
    """(what, teacher's, student's, change) as text; zeros and compressed bytes where the student has many zeros."""
    teacher, student = found["teacher"], found["student"]
    lines = [("On disk", size(teacher["bytes"]), size(student["bytes"]), change(teacher["bytes"], student["bytes"]))]
    times = (teacher["latency_ms"], student["latency_ms"])
    lines.append(("Forward pass", f"{times[0]:,.1f} ms", f"{times[1]:,.1f} ms", change(*times)))
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
    return f"{count:,} B" if not power else f"{value:.2f} {BYTES[power]}"


def change(before: float, after: float) -> str:
    """What became of an amount: "÷ 3.68", "× 1.20" or "the same"."""
    if not before or not after:
        return ""
    ratio = before / after
    if abs(ratio - 1) < 0.005:
        return "the same"
    return f"÷ {ratio:.2f}" if ratio > 1 else f"× {1 / ratio:.2f}"
