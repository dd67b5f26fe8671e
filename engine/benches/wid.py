"""Speed and memory, measured side by side: python -m engine bench wid.

One process, one batch, repeats interleaved so that a slow moment of the machine hits every row alike; medians. Memory
is measured in a process of its own for each row.
"""

from __future__ import annotations

import gc
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

import torch

from engine.benches import process_memory as memory
from engine.benches.wid_contestants import (
    ACTIVATION,
    CASES,
    CLOSED,
    FOLDED,
    OPEN,
    RELEASED,
    ROWS,
    STUDENT,
    TEACHER,
    Contestant,
    chosen,
    new_batch,
    not_here,
)
from engine.settings.device import Device, pick_device
from engine.settings.project import PROJECT


def bench_wid(name: str, repeats: int = 7, with_memory: bool = True) -> dict[str, Any]:
    """Times every row of ROWS for the case `name`, and measures its memory if asked to; a plain dict, JSON-ready.

    Raises:
        ConfigError: there is no such case.
    """
    case = chosen(CASES, name, repeats)
    if why := not_here(case):
        return {"case": name, "measured": False, "why": why}
    device, batch = pick_device(case.device), new_batch(case)
    tokens, predicted, students = case.rows * case.length, len(batch.positions), []
    for student in case.students:
        rows = [Contestant(row, case, student, device) for row in ROWS]
        seconds: dict[str, list[float]] = {row: [] for row in ROWS}
        for repeat in range(repeats + 2):
            for contestant in rows:
                took = contestant.step(batch)
                if repeat >= 2:  # the first two steps make buffers and moments
                    seconds[contestant.row].append(took)
        medians = {row: statistics.median(times) for row, times in seconds.items()}
        found: dict[str, dict[str, Any]] = {
            contestant.row: {
                "seconds": medians[contestant.row],
                "spread": [min(seconds[contestant.row]), max(seconds[contestant.row])],
                "tokens_per_second": tokens / medians[contestant.row],
                "multiply_adds": contestant.multiply_adds(case, student, predicted),
            }
            for contestant in rows
        }
        rows.clear()
        gc.collect()
        rate = matrix_rate(device)
        for row, figures in found.items():
            figures["peak_bytes"] = peak_memory(name, row, case.students.index(student)) if with_memory else None
            # a step is a forward pass and twice as much backward; two FLOPs a multiply-add
            figures["utilisation"] = 6 * figures["multiply_adds"] / figures["seconds"] / rate
        students.append(
            {
                "student": str(student),
                "rows": found,
                "matrix_flops_per_second": rate,
                "against": {row: _against(found, row) for row in (OPEN, CLOSED, FOLDED)},
            }
        )
    return {
        "case": name,
        "measured": True,
        "device": device.name,
        "precision": "bfloat16" if device.mixed_precision else "float32",
        "teacher": str(case.teacher),
        "tokens": tokens,
        "repeats": repeats,
        "torch": torch.__version__,
        "students": students,
    }


def table(found: dict[str, Any]) -> str:
    """What `bench_wid` found, for people."""
    if not found["measured"]:
        return found["why"]
    lines = [
        f"{found['teacher']} on {found['device']}, {found['precision']}, {found['tokens']:,} tokens a step, "
        f"medians of {found['repeats']} steps"
    ]
    for student in found["students"]:
        rate = student["matrix_flops_per_second"]
        lines += ["", f"student {student['student']}", _line("", "ms a step", "tokens/s", "GMAC", "peak MB", "of rate")]
        for row, figures in student["rows"].items():
            memory = f"{figures['peak_bytes'] / 1e6:,.0f}" if figures["peak_bytes"] else "-"
            cells = f"{1000 * figures['seconds']:,.0f}", f"{figures['tokens_per_second']:,.0f}"
            work = f"{figures['multiply_adds'] / 1e9:,.1f}"
            lines.append(_line(row, *cells, work, memory, f"{figures['utilisation']:.0%}"))
        lines += [
            f"GMAC: billions of multiply-adds of a forward pass; of rate: of {rate / 1e9:,.0f} GFLOP/s, which a large "
            "matrix product reaches here",
            *(f"{row}: {_in_words(ratios)}" for row, ratios in student["against"].items()),
        ]
    return "\n".join(lines)


def _against(found: dict[str, dict[str, Any]], row: str) -> dict[str, float | None]:
    """How `row` compares: how many times as fast as activation space, how many plain steps long, how much memory."""
    seconds = {name: figures["seconds"] for name, figures in found.items()}
    return {
        "times_activation_speed": seconds[ACTIVATION] / seconds[row],
        "times_release_speed": seconds[RELEASED] / seconds[row],
        "student_steps": seconds[row] / seconds[STUDENT],
        "teacher_steps": seconds[row] / seconds[TEACHER],
        "teacher_memories": _ratio(found[row]["peak_bytes"], found[TEACHER]["peak_bytes"]),
    }


def _in_words(ratios: dict[str, float | None]) -> str:
    memory = f", {ratios['teacher_memories']:.2f} of a teacher's memory" if ratios["teacher_memories"] else ""
    return (
        f"{ratios['times_release_speed']:.2f}x as fast as the release's step, {ratios['times_activation_speed']:.2f}x "
        f"as the bare activation-space step; {ratios['student_steps']:.2f} student steps, "
        f"{ratios['teacher_steps']:.2f} teacher steps{memory}"
    )


def _line(*cells: str) -> str:
    return f"{cells[0]:<30}" + "".join(f"{cell:>11}" for cell in cells[1:])


def matrix_rate(device: Device, size: int = 2048, repeats: int = 5) -> float:
    """FLOPs per second of a large square matrix product in the precision that training uses on `device`."""
    a = torch.randn(size, size, device=device.type)
    a = a.bfloat16() if device.mixed_precision else a
    times = []
    for _ in range(repeats + 1):
        if device.type == "cuda":
            torch.cuda.synchronize()
        began = time.perf_counter()
        a @ a
        if device.type == "cuda":
            torch.cuda.synchronize()
        times.append(time.perf_counter() - began)
    return 2 * size**3 / statistics.median(times[1:])


# ---- memory ----------------------------------------------------------------------------------------------------------


def peak_memory(case: str, row: str, student: int) -> int | None:
    """Bytes that training takes at its peak, above an empty process, measured in a process of its own.

    None where the system does not tell (CPU memory is read from Linux's /proc).
    """
    command = [sys.executable, "-m", "engine.benches.wid", case, row, str(student)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def _peak_here(name: str, row: str, student: int) -> int | None:
    case = CASES[name]
    device, batch = pick_device(case.device), new_batch(case)
    torch.randn(256, 256, device=device.type) @ torch.randn(256, 256, device=device.type)  # what the libraries take
    empty = memory.resident()
    contestant = Contestant(row, case, case.students[student], device)
    gc.collect()
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    elif not memory.forget_the_past():
        return None
    for _ in range(3):
        contestant.step(batch)
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated()
    peak = memory.peak()
    return None if peak is None or empty is None else peak - empty


def _ratio(a: Any, b: Any) -> float | None:
    return a / b if a and b else None


if __name__ == "__main__":
    print(json.dumps(_peak_here(sys.argv[1], sys.argv[2], int(sys.argv[3]))))
