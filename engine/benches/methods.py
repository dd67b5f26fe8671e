"""Time a step and peak memory of every method at one shape: python -m engine bench methods.

Every method runs in a process of its own, so that its memory is its own, and rounds of all methods take turns. A method
that changes while it trains, as WID does, has two rows: as it begins and as it ends. The registry says which methods
there are.
"""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.benches.cases import METHOD_CASES, Case, find_case, why_unavailable
from engine.benches.process_memory import PeakMemory
from engine.benches.timing import measured_on, median_and_spread, time_repeats, training_precision
from engine.methods.base import Method, step_flops
from engine.methods.kinds.calibrated import calibrated, calibration_batches
from engine.methods.kinds.shape_changing import ShapeChanging, cost_phases
from engine.methods.registry import METHODS
from engine.model.bert import new_bert
from engine.settings.device import pick_device
from engine.settings.options import ConfigError
from engine.settings.torch_subprocess import answer_stdin, ask
from engine.sizing.shape import Shape, ShapeError
from engine.tasks.batches import TaskBatch
from engine.text.masking import Batch
from engine.text.sentence_pairs import PairBatch
from engine.training.plan import MANY_STEPS
from engine.training.processes import Processes
from engine.training.step import Learner, trainable, work_of

BASELINE = "scratch"
WARMUP = 2  # steps that make buffers and moments
STAGES = ("begins", "ends")  # of a method whose steps change while it trains


def bench_methods(name: str, rounds: int = 3, steps: int = 5, only: tuple[str, ...] = ()) -> dict[str, Any]:
    """Times `rounds` x `steps` training steps of every method, or of `only` some, in the case `name`; JSON-ready.

    Raises:
        ConfigError: there is no such case, or too many or too few rounds.
    """
    case = find_case(METHOD_CASES, name, rounds)
    if why := why_unavailable(case):
        return {"case": name, "measured": False, "why": why}
    device, refused = pick_device(case.device), {}
    answers: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for method in only or METHODS:
        try:
            planned, shape = plan_method(method, case)
        except (ShapeError, ConfigError) as error:
            refused[method] = str(error)
        else:
            several = len(cost_phases(planned, case.teacher, shape)) > 1
            answers |= {(method, stage): [] for stage in STAGES[: 1 + several]}
    for _ in range(rounds):
        for (method, stage), parts in answers.items():
            question = {"case": name, "method": method, "stage": stage, "steps": steps}
            parts.append(ask("engine.benches.methods", question))
    figures = {row: _figures(parts) for row, parts in answers.items()}
    baseline = figures.get((BASELINE, STAGES[0]))
    for one in figures.values():
        one["times_scratch"] = one["seconds"] / baseline["seconds"] if baseline else None
    return {
        "case": name,
        "measured": True,
        **measured_on(device),
        "precision": training_precision(device),
        "teacher": str(case.teacher),
        "student": str(case.students[0]),
        "tokens": case.tokens,
        "steps": rounds * steps,
        "rows": [{"method": method, "stage": stage, **one} for (method, stage), one in figures.items()],
        "refused": refused,
    }


def as_markdown(found: dict[str, Any]) -> str:
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


def plan_method(name: str, case: Case) -> tuple[Method, Shape]:
    """The method `name` with its default options, and the case's student, or what of it can be chosen.

    Raises:
        ShapeError: the method can make no such student of this teacher.
    """
    kind = METHODS[name]
    method = kind(kind.Options(), MANY_STEPS)
    wanted = {name: getattr(case.students[0], name) for name in method.about.chooses}
    return method, method.student_shape(case.teacher, wanted)


def _figures(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """What is shown of one row: the answers of its rounds, put together."""
    peaks = [part["peak_bytes"] for part in parts if part["peak_bytes"] is not None]
    return {
        "student": parts[0]["student"],
        **median_and_spread([one for part in parts for one in part["seconds"]]),
        "flops": parts[0]["flops"],
        "peak_bytes": statistics.median(peaks) if peaks else None,
    }


# ---- in that process -------------------------------------------------------------------------------------------------


def time_method_steps(case: Case, name: str, stage: str, steps: int) -> dict[str, Any]:
    """Seconds of `steps` training steps of the method `name`, the bytes they take, the FLOPs counted for one."""
    (method, shape), late = plan_method(name, case), stage == STAGES[1]
    phases = cost_phases(method, case.teacher, shape)
    device, teacher = pick_device(case.device), new_bert(case.teacher, 0)
    batch = case.random_batch()
    if method.task.pairs != "none":
        batch = _as_sentence_pairs(batch)
    memory = PeakMemory(device)
    student = method.init_student(teacher, shape, 0)
    if looks := calibration_batches(method):
        student = calibrated(method, trainable(student, device), [batch.to(device.type)] * looks)
    if late and isinstance(method, ShapeChanging):
        student = method.final_form(student)
    student = trainable(student, device)
    teacher = teacher.to(device.type).eval().requires_grad_(False)
    guide: nn.Module = teacher
    if classes := method.task.classes:  # labelled texts, and a teacher that tells the same classes apart
        batch, whole = _as_labelled_texts(batch, len(classes)), case.teacher.replace(pooler=True, mlm_head=False)
        guide = method.init_student(new_bert(case.teacher, 0), whole, 0).to(device.type).eval().requires_grad_(False)
    learner = Learner(method, student, method.optimizer(student), guide, device, Processes(0, 1))
    memory.reset()
    seconds = time_repeats(lambda: learner.step(batch, [batch], 1), steps, WARMUP, device)
    peak = memory.peak_bytes()
    work = work_of([batch])
    flops = step_flops(method, case.teacher, shape, work, phases[-1] if late else 1, student)
    return {"student": str(shape), "seconds": seconds, "peak_bytes": peak, "flops": flops}


def _as_sentence_pairs(batch: Batch) -> PairBatch:
    """The batch as pairs of halves, half of them in order."""
    types = torch.zeros_like(batch.ids)
    types[:, batch.ids.shape[1] // 2 :] = 1
    labels = torch.from_numpy(np.arange(len(batch.ids)) % 2)
    return PairBatch(batch.ids, batch.visible, batch.positions, batch.targets, types, labels)


def _as_labelled_texts(batch: Batch, classes: int) -> TaskBatch:
    """The batch as labelled texts with nothing hidden."""
    rows, length = batch.ids.shape
    first, labels = torch.arange(rows) * length, torch.arange(rows) % classes
    return TaskBatch(batch.ids, batch.visible, first, labels, torch.zeros_like(batch.ids))


def _answer(question: dict[str, Any]) -> dict[str, Any]:
    """The answer to what `bench_methods` asks this process."""
    case = METHOD_CASES[question["case"]]
    return time_method_steps(case, question["method"], question["stage"], question["steps"])


if __name__ == "__main__":
    answer_stdin(_answer)
