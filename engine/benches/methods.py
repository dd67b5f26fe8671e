"""Time a step and peak memory of every method at one shape: python -m engine bench methods.

Every method runs in a process of its own, so that its memory is its own; rounds of all methods take turns, so that a
slow moment of the machine hits every one alike. A method that changes while it trains, as WID does, has two rows: as it
begins and as it ends. The registry says which methods there are.
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

import numpy as np
import torch
from torch import nn

from engine.benches import process_memory as memory
from engine.benches.wid_contestants import BASE, MINI, TINY, Case, chosen, new_batch, not_here
from engine.methods.base import Method
from engine.methods.registry import METHODS
from engine.model.bert import new_bert
from engine.settings.device import pick_device
from engine.settings.options import ConfigError
from engine.settings.project import PROJECT
from engine.sizing.shape import Shape, ShapeError
from engine.sizing.step_flops import BatchShape
from engine.tasks.batches import TaskBatch
from engine.text.masking import Batch
from engine.text.sentence_pairs import PairBatch
from engine.training.gradients import backward, learning
from engine.training.plan import MANY_STEPS
from engine.training.processes import Processes

CASES = {
    "cpu": Case("cpu", MINI, (MINI.replace(hidden=192),), 16, 64),
    "cuda": Case("cuda", BASE, (BASE.replace(hidden=384),), 64, 128),
    "tiny": Case("cpu", TINY, (TINY.replace(hidden=16),), 4, 16),  # the same path in seconds, for tests
}
YARDSTICK = "scratch"
WARM = 2  # steps that make buffers and moments
STAGES = ("begins", "ends")


def bench_methods(name: str, rounds: int = 3, steps: int = 5, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Times `rounds` x `steps` training steps of every method, or of `only` some, in the case `name`; JSON-ready.

    Raises:
        ConfigError: there is no such case, or too many or too few rounds.
    """
    case = chosen(CASES, name, rounds)
    if why := not_here(case):
        return {"case": name, "measured": False, "why": why}
    device, refused = pick_device(case.device), {}
    answers: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for method in only or METHODS:
        try:
            trained, shape = planned(method, case)
        except (ShapeError, ConfigError) as error:
            refused[method] = str(error)
        else:
            several = len(trained.phases(case.teacher, shape)) > 1
            answers |= {(method, stage): [] for stage in STAGES[: 1 + several]}
    for _ in range(rounds):
        for row, parts in answers.items():
            parts.append(_apart(name, *row, steps))
    figures = {row: _figures(parts) for row, parts in answers.items()}
    yardstick = figures.get((YARDSTICK, STAGES[0]))
    for one in figures.values():
        one["times_scratch"] = one["seconds"] / yardstick["seconds"] if yardstick else None
    return {
        "case": name,
        "measured": True,
        "device": device.name,
        "precision": "bfloat16" if device.mixed_precision else "float32",
        "teacher": str(case.teacher),
        "student": str(case.students[0]),
        "tokens": case.rows * case.length,
        "steps": rounds * steps,
        "torch": torch.__version__,
        "rows": [{"method": method, "stage": stage, **one} for (method, stage), one in figures.items()],
        "refused": refused,
    }


def table(found: dict[str, Any]) -> str:
    """What `bench_methods` found, for people: a markdown table."""
    if not found["measured"]:
        return found["why"]
    several = {row["method"] for row in found["rows"] if row["stage"] == STAGES[1]}
    lines = [
        f"{found['teacher']} to {found['student']} on {found['device']}, {found['precision']}, {found['tokens']:,} "
        f"tokens a step, medians of {found['steps']} steps (fastest to slowest)",
        "",
        "| method | student | ms a step | x scratch | GFLOPs a step | GFLOPs a second | peak MB |",
        "|---|---|--:|--:|--:|--:|--:|",
    ]
    for row in found["rows"]:
        ratio = f"{row['times_scratch']:.2f}" if row["times_scratch"] else "-"
        peak = f"{row['peak_bytes'] / 1e6:,.0f}" if row["peak_bytes"] else "-"
        low, high = (1000 * value for value in row["spread"])
        lines.append(
            f"| {row['method']}{', as it ' + row['stage'] if row['method'] in several else ''} | {row['student']} "
            f"| {1000 * row['seconds']:,.0f} ({low:,.0f} to {high:,.0f}) | {ratio} | {row['flops'] / 1e9:,.1f} "
            f"| {row['flops'] / row['seconds'] / 1e9:,.1f} | {peak} |"
        )
    return "\n".join([*lines, *(f"not run: {method}: {why}" for method, why in found["refused"].items())])


def planned(name: str, case: Case) -> tuple[Method, Shape]:
    """The method `name` with its default options, and the case's student, or what of it can be chosen.

    Raises:
        ShapeError: the method can make no such student of this teacher.
    """
    kind = METHODS[name]
    method = kind(kind.Options(), MANY_STEPS)
    wanted = {name: getattr(case.students[0], name) for name in method.chooses}
    return method, method.student_shape(case.teacher, wanted)


def _figures(parts: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = [one for part in parts for one in part["seconds"]]
    peaks = [part["peak_bytes"] for part in parts if part["peak_bytes"] is not None]
    return {
        "student": parts[0]["student"],
        "seconds": statistics.median(seconds),
        "spread": [min(seconds), max(seconds)],
        "flops": parts[0]["flops"],
        "peak_bytes": statistics.median(peaks) if peaks else None,
    }


def _apart(case: str, method: str, stage: str, steps: int) -> dict[str, Any]:
    """What one process finds: its steps' seconds, its peak, the FLOPs counted."""
    command = [sys.executable, "-m", "engine.benches.methods", case, method, stage, str(steps)]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    done = subprocess.run(command, cwd=PROJECT, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


# ---- in that process -------------------------------------------------------------------------------------------------


def measure(case: Case, name: str, stage: str, steps: int) -> dict[str, Any]:
    """Seconds of `steps` training steps of the method `name`, the bytes they take, the FLOPs counted for one."""
    (method, shape), late = planned(name, case), stage == STAGES[1]
    phases = method.phases(case.teacher, shape)
    device, teacher = pick_device(case.device), new_bert(case.teacher, 0)
    batch = new_batch(case)
    if method.pairs != "none":
        batch = _paired(batch)
    torch.randn(256, 256, device=device.type) @ torch.randn(256, 256, device=device.type)  # what the libraries take
    empty = memory.resident()
    student = method.prepare(teacher, shape, 0)
    if method.calibration_batches:
        student = method.calibrate(learning(student, device), [batch.to(device.type)] * method.calibration_batches)
    student = learning(method.at_last(student) if late else student, device)
    teacher = teacher.to(device.type).eval().requires_grad_(False)
    guide: nn.Module = teacher
    if method.classes:  # it learns from labelled texts, and from a teacher that tells the same classes apart
        batch, whole = _labelled(batch, len(method.classes)), case.teacher.replace(pooler=True, mlm_head=False)
        guide = method.prepare(new_bert(case.teacher, 0), whole, 0).to(device.type).eval().requires_grad_(False)
    optimizer, alone, taken = method.optimizer(student), Processes(0, 1), []
    gc.collect()
    known = True
    if device.type == "cuda":
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    else:
        known = memory.forget_the_past()
    for _ in range(WARM + steps):
        device.synchronize()
        began = time.perf_counter()
        backward(method, student, guide, batch, [batch], device, alone)
        nn.utils.clip_grad_norm_(student.parameters(), 1.0)
        method.after_backward(student, optimizer, 1)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        device.synchronize()
        taken.append(time.perf_counter() - began)
    peak = torch.cuda.max_memory_allocated() if device.type == "cuda" else memory.peak()
    if device.type != "cuda":
        peak = peak - empty if known and peak is not None and empty is not None else None
    work = [BatchShape(case.rows, case.length, len(batch.targets))]
    flops = method.step_flops(case.teacher, shape, work, phases[-1] if late else 1, student)
    return {"student": str(shape), "seconds": taken[WARM:], "peak_bytes": peak, "flops": flops}


def _paired(batch: Batch) -> PairBatch:
    """The batch as pairs of halves, half of them in order."""
    types = torch.zeros_like(batch.ids)
    types[:, batch.ids.shape[1] // 2 :] = 1
    labels = torch.from_numpy(np.arange(len(batch.ids)) % 2)
    return PairBatch(batch.ids, batch.visible, batch.positions, batch.targets, types, labels)


def _labelled(batch: Batch, classes: int) -> TaskBatch:
    """The batch as labelled texts with nothing hidden."""
    rows, length = batch.ids.shape
    first, labels = torch.arange(rows) * length, torch.arange(rows) % classes
    return TaskBatch(batch.ids, batch.visible, first, labels, torch.zeros_like(batch.ids))


if __name__ == "__main__":
    print(json.dumps(measure(CASES[sys.argv[1]], sys.argv[2], sys.argv[3], int(sys.argv[4]))))
