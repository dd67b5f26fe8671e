"""What a run finds out before its first step: how full its text's rows are, and how long steps of its own take."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.methods.base import Method
from engine.model.bert import Bert
from engine.settings.budget import CostEstimate, parse_budget
from engine.settings.device import Device
from engine.settings.run_config import RunConfig
from engine.sizing.step_flops import BatchShape
from engine.storage.atomic import write_json
from engine.storage.runs import Run
from engine.text.corpora import Corpus, TrainingData
from engine.training.gradients import backward, learning
from engine.training.plan import MANY_STEPS, Look, Plan, foresee
from engine.training.processes import Processes

LOOKED_AT = 16  # batches
SAMPLE = 64  # batches' rows are read to look at, where the number of steps is not known yet
WARM, TIMED = 2, 6  # steps of each kind; as many in every process, for they go together


def settle(
    config: RunConfig,
    plan: Plan,
    teacher: Bert,
    guide: Any,
    text: TrainingData,
    device: Device,
    processes: Processes,
    run: Run,
) -> CostEstimate:
    """How many steps `config` comes to and what they are expected to take; kept in `run`, whose resume finds it there.

    A budget in seconds takes some steps on a copy first. `teacher` on the CPU; `guide`: what `losses` get as the
    teacher, which may be the same. Every process of the run calls it.

    Raises:
        ConfigError: the budget is less than one step takes.
        RunError: what was kept is damaged.
    """
    if processes.agree(run.budget_path.exists()):
        return CostEstimate.from_json(run.budget())
    look, pace = look_at(text, config), None
    if config.budget and parse_budget(config.budget).unit == "seconds":
        pace = measure(config, plan, teacher, guide, text, look, device, processes)
    outlook = foresee(config, plan.method, teacher.shape, plan.shape, look, pace)
    if processes.rank == 0:
        write_json(run.budget_path, {**outlook.to_json(), "course": outlook.course})
    return outlook


def look_at(text: TrainingData, config: RunConfig) -> Look:
    """The first batches of `text`; how many tokens a batch has, where its rows are there already, from all of them."""
    batches = [text.batch(step, config.batch, config.seed) for step in range(LOOKED_AT)]
    tokens = sum(int(batch.visible.sum()) for batch in batches) / len(batches)
    if isinstance(text, Corpus):
        tokens = float(text.rows.lengths(np.arange(len(text.rows))).mean()) * config.batch
    parts = [batch.split(config.processes * config.accumulate) for batch in batches]
    return Look([[BatchShape(len(p.ids), p.ids.shape[1], len(p.targets)) for p in some] for some in parts], tokens)


def measure(
    config: RunConfig,
    plan: Plan,
    teacher: Bert,
    guide: Any,
    text: TrainingData,
    look: Look,
    device: Device,
    processes: Processes,
) -> tuple[float, float]:
    """Seconds a FLOP of the run's first steps and of its last, medians over real steps on copies.

    Nothing of them stays: students, optimizers and random numbers are as if nobody had looked.
    """
    kind, options = type(plan.method), plan.method.options
    many = len(kind(options, MANY_STEPS).phases(teacher.shape, plan.shape)) > 1
    random, paces = torch.get_rng_state(), []
    for late in (False, True)[: 1 + many]:
        method = kind(options, MANY_STEPS)
        student = method.prepare(teacher, plan.shape, config.seed)
        student = learning(method.at_last(student) if late else student, device)
        teacher.to(device.type)
        step = method.phases(teacher.shape, plan.shape)[-1] if late else 1
        taken = seconds_of_steps(method, student, guide, text, config, device, processes)
        flops = [method.step_flops(teacher.shape, plan.shape, parts, step) for parts in look.batches[:TIMED]]
        paces.append(statistics.median(a / b for a, b in zip(taken, flops, strict=True)))
        teacher.to("cpu")
        del student
    torch.set_rng_state(random)
    paces = processes.said(paces)
    return paces[0], paces[-1]


def seconds_of_steps(
    method: Method,
    student: nn.Module,
    guide: Any,
    text: TrainingData,
    config: RunConfig,
    device: Device,
    processes: Processes,
) -> list[float]:
    """Seconds of each of TIMED training steps of `student`, on the text's first batches."""
    optimizer, taken = method.optimizer(student), []
    for index in [*range(WARM), *range(TIMED)]:
        device.synchronize()
        began = time.perf_counter()
        batch = text.batch(index, config.batch, config.seed)
        parts = batch.split(processes.size * config.accumulate)
        backward(method, student, guide, batch, parts, device, processes)
        nn.utils.clip_grad_norm_(student.parameters(), config.clip)
        method.after_backward(student, optimizer, 1)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        device.synchronize()
        taken.append(time.perf_counter() - began)
    return taken[WARM:]
