"""Speed and memory of WID's training steps beside those of other variants: python -m engine bench wid.

One process, one batch, steps in turn; medians. Memory is measured in a process of its own for each variant.
"""

from __future__ import annotations

import gc
from functools import partial
from typing import Any

import torch

from engine.benches.cases import WID_CASES, Case, find_case, why_unavailable
from engine.benches.machine_rate import matmul_rate
from engine.benches.process_memory import PeakMemory
from engine.benches.timing import measured_on, median_and_spread, time_in_turn, training_precision
from engine.benches.wid_variants import (
    ACTIVATION,
    CLOSED,
    FOLDED,
    OPEN,
    RELEASED,
    STUDENT,
    TEACHER,
    VARIANTS,
    Variant,
)
from engine.settings.device import Device, pick_device
from engine.settings.torch_subprocess import answer_stdin, ask
from engine.sizing.shape import Shape

WARMUP = 2  # steps that make buffers and moments
MEMORY_STEPS = 3
MATMUL_SIZE = 2048  # of the matrices that tell what the device can reach


def bench_wid(name: str, repeats: int = 7, with_memory: bool = True) -> dict[str, Any]:
    """Times every one of VARIANTS in the case `name`, and measures its memory if asked to; a plain dict, JSON-ready.

    Raises:
        ConfigError: there is no such case, or too many or too few repeats.
    """
    case = find_case(WID_CASES, name, repeats)
    if why := why_unavailable(case):
        return {"case": name, "measured": False, "why": why}
    device, students = pick_device(case.device), []
    for index, student in enumerate(case.students):
        rows = _time_variants(case, student, device, repeats)
        rate = matmul_rate(MATMUL_SIZE, torch.bfloat16 if device.mixed_precision else torch.float32, device)
        for variant, figures in rows.items():
            figures["peak_bytes"] = peak_memory(name, variant, index) if with_memory else None
            # a step is a forward pass and twice as much backward; two FLOPs a multiply-add
            figures["utilisation"] = 6 * figures["multiply_adds"] / figures["seconds"] / rate
        students.append(
            {
                "student": str(student),
                "rows": rows,
                "matrix_flops_per_second": rate,
                "against": {variant: _compare(rows, variant) for variant in (OPEN, CLOSED, FOLDED)},
            }
        )
    return {
        "case": name,
        "measured": True,
        **measured_on(device),
        "precision": training_precision(device),
        "teacher": str(case.teacher),
        "tokens": case.tokens,
        "repeats": repeats,
        "students": students,
    }


def _time_variants(case: Case, student: Shape, device: Device, repeats: int) -> dict[str, dict[str, Any]]:
    """{variant: its times and its multiply-adds}; all variants are in memory at once and take turns.

    Seconds of a step (`seconds` the median, `spread` fastest and slowest), tokens a second, and multiply-adds of a
    forward pass.
    """
    batch = case.random_batch()
    variants = {name: Variant(name, case, student, device) for name in VARIANTS}
    steps = {name: partial(variant.train_step, batch) for name, variant in variants.items()}
    seconds = time_in_turn(steps, repeats, WARMUP, device)
    figures: dict[str, dict[str, Any]] = {}
    for name, variant in variants.items():
        times = median_and_spread(seconds[name])
        figures[name] = {
            **times,
            "tokens_per_second": case.tokens / times["seconds"],
            "multiply_adds": variant.multiply_adds(case, student, len(batch.positions)),
        }
    del steps, variants, variant
    gc.collect()  # compactors and their models point at one another
    return figures


def as_text(found: dict[str, Any]) -> str:
    """What `bench_wid` found, for people."""
    if not found["measured"]:
        return found["why"]
    lines = [
        f"{found['teacher']} on {found['device']}, {found['precision']}, {found['tokens']:,} tokens a step, "
        f"medians of {found['repeats']} steps"
    ]
    for student in found["students"]:
        rate = student["matrix_flops_per_second"]
        lines += [
            "",
            f"student {student['student']}",
            _table_line("", "ms a step", "tokens/s", "GMAC", "peak MB", "of rate"),
        ]
        for row, figures in student["rows"].items():
            memory = f"{figures['peak_bytes'] / 1e6:,.0f}" if figures["peak_bytes"] else "-"
            cells = f"{1000 * figures['seconds']:,.0f}", f"{figures['tokens_per_second']:,.0f}"
            work = f"{figures['multiply_adds'] / 1e9:,.1f}"
            lines.append(_table_line(row, *cells, work, memory, f"{figures['utilisation']:.0%}"))
        lines += [
            f"GMAC: billions of multiply-adds of a forward pass; of rate: of {rate / 1e9:,.0f} GFLOP/s, which a large "
            "matrix product reaches here",
            *(f"{row}: {_ratios_in_words(ratios)}" for row, ratios in student["against"].items()),
        ]
    return "\n".join(lines)


def _compare(figures: dict[str, dict[str, Any]], variant: str) -> dict[str, float | None]:
    """How many times as fast as the activation-space variants, how many plain steps long, how much of the memory."""
    seconds = {name: one["seconds"] for name, one in figures.items()}
    return {
        "times_activation_speed": seconds[ACTIVATION] / seconds[variant],
        "times_release_speed": seconds[RELEASED] / seconds[variant],
        "student_steps": seconds[variant] / seconds[STUDENT],
        "teacher_steps": seconds[variant] / seconds[TEACHER],
        "teacher_memories": _ratio(figures[variant]["peak_bytes"], figures[TEACHER]["peak_bytes"]),
    }


def _ratios_in_words(ratios: dict[str, float | None]) -> str:
    memory = f", {ratios['teacher_memories']:.2f} of a teacher's memory" if ratios["teacher_memories"] else ""
    return (
        f"{ratios['times_release_speed']:.2f}x as fast as the release's step, {ratios['times_activation_speed']:.2f}x "
        f"as the bare activation-space step; {ratios['student_steps']:.2f} student steps, "
        f"{ratios['teacher_steps']:.2f} teacher steps{memory}"
    )


def _table_line(*cells: str) -> str:
    """A line of the table: a wide column and narrow ones, aligned to the right."""
    return f"{cells[0]:<30}" + "".join(f"{cell:>11}" for cell in cells[1:])


# ---- memory ----------------------------------------------------------------------------------------------------------


def peak_memory(case: str, variant: str, student: int) -> int | None:
    """Bytes that training takes at its peak, above an empty process, measured in a process of its own.

    `student` is an index into the case's students. None where the system does not tell (CPU memory is read from
    Linux's /proc).
    """
    return ask("engine.benches.wid", {"case": case, "variant": variant, "student": student})["peak_bytes"]


def _peak_here(question: dict[str, Any]) -> dict[str, Any]:
    """In that process: the answer to what `peak_memory` asks."""
    case = WID_CASES[question["case"]]
    device, batch = pick_device(case.device), case.random_batch()
    memory = PeakMemory(device)
    variant = Variant(question["variant"], case, case.students[question["student"]], device)
    memory.reset()
    for _ in range(MEMORY_STEPS):
        variant.train_step(batch)
    return {"peak_bytes": memory.peak_bytes()}


def _ratio(a: Any, b: Any) -> float | None:
    return a / b if a and b else None


if __name__ == "__main__":
    answer_stdin(_peak_here)
