"""What a run finds out before its first step: how full its text's rows are, and how long steps of its own take."""

from __future__ import annotations

import statistics
import time
from typing import Any

import numpy as np
import torch
from torch import nn

from engine.methods.base import Method, step_flops
from engine.methods.kinds.shape_changing import ShapeChanging, cost_phases
from engine.model.bert import Bert
from engine.settings.budget import CostEstimate, parse_budget
from engine.settings.device import Device
from engine.settings.run_config import RunConfig
from engine.storage.atomic import write_json
from engine.storage.checksums import SEAL, ChecksumError, check_seal, sealed
from engine.storage.runs import Run, RunError
from engine.text.corpora import Corpus, TrainingData
from engine.training.plan import MANY_STEPS, Plan, SampledBatches, estimate_cost
from engine.training.processes import Processes
from engine.training.step import Learner, trainable, work_of

SAMPLED = 16  # batches
BATCHES_READ = 64  # batches' rows are read to look at, where the number of steps is not known yet
WARM, TIMED = 2, 6  # steps of each kind; as many in every process, for they go together


def settle_budget(
    config: RunConfig,
    plan: Plan,
    teacher: Bert,
    fitted: Any,
    text: TrainingData,
    device: Device,
    processes: Processes,
    run: Run,
) -> CostEstimate:
    """How many steps `config` comes to and what they are expected to take; kept in `run`, whose resume finds it there.

    A budget in seconds takes some steps on a copy first. `teacher` on the CPU; `fitted`: what `losses` get as the
    teacher, which may be the same. Every process of the run calls it.

    Raises:
        ConfigError: the budget is less than one step takes.
        RunError: what was kept is damaged, and cannot be found out again.
    """
    if processes.broadcast_flag(run.budget_path.exists()) and (kept := _kept(config, run)):
        return kept
    sampled, pace = sample_batches(text, config), None
    if config.budget and parse_budget(config.budget).unit == "seconds":
        pace = seconds_per_flop(config, plan, teacher, fitted, text, sampled, device, processes)
    estimate = estimate_cost(config, plan.method, teacher.shape, plan.shape, sampled, pace)
    if processes.rank == 0:
        write_json(run.budget_path, sealed({**estimate.to_json(), "course": estimate.course}))
    return estimate


def _kept(config: RunConfig, run: Run) -> CostEstimate | None:
    """What an earlier process of the run has found out; None: it is damaged, and anyone finds the same again.

    Raises:
        RunError: it is damaged, and a budget in seconds depends on the moment.
    """
    try:
        told = run.budget()
        check_seal(told)
        amounts = [told.get(name) for name in ("steps", "tokens", "flops")]
        if any(isinstance(it, bool) or not isinstance(it, int | float | None) for it in amounts):
            raise ChecksumError("an amount in it is no number")
        return CostEstimate.from_json({name: value for name, value in told.items() if name != SEAL})
    except (RunError, ChecksumError, TypeError) as error:
        if config.budget and parse_budget(config.budget).unit == "seconds":
            raise RunError(f"budget.json of run '{run.id}' is damaged ({error}); start a new run.") from error
        return None


def sample_batches(text: TrainingData, config: RunConfig) -> SampledBatches:
    """The first batches of `text`; how many tokens a batch has, where its rows are there already, from all of them."""
    batches = [text.batch(step, config.batch, config.seed) for step in range(SAMPLED)]
    tokens = sum(int(batch.visible.sum()) for batch in batches) / len(batches)
    if isinstance(text, Corpus):
        tokens = float(text.rows.lengths(np.arange(len(text.rows))).mean()) * config.batch
    parts = [batch.split(config.processes * config.accumulate) for batch in batches]
    return SampledBatches([work_of(some) for some in parts], tokens)


def seconds_per_flop(
    config: RunConfig,
    plan: Plan,
    teacher: Bert,
    fitted: Any,
    text: TrainingData,
    sampled: SampledBatches,
    device: Device,
    processes: Processes,
) -> tuple[float, float]:
    """Seconds a FLOP of the run's first steps and of its last, medians over real steps on copies.

    Nothing of them stays: students, optimizers and random numbers are as if nobody had looked.
    """
    kind, options = type(plan.method), plan.method.options
    many = len(cost_phases(kind(options, MANY_STEPS), teacher.shape, plan.shape)) > 1
    random, paces = torch.get_rng_state(), []
    for late in (False, True)[: 1 + many]:
        method = kind(options, MANY_STEPS)
        student = method.init_student(teacher, plan.shape, config.seed)
        if late and isinstance(method, ShapeChanging):
            student = method.final_form(student)
        student = trainable(student, device)
        teacher.to(device.type)
        step = cost_phases(method, teacher.shape, plan.shape)[-1] if late else 1
        taken = seconds_of_steps(method, student, fitted, text, config, device, processes)
        flops = [step_flops(method, teacher.shape, plan.shape, parts, step) for parts in sampled.batches[:TIMED]]
        paces.append(statistics.median(a / b for a, b in zip(taken, flops, strict=True)))
        teacher.to("cpu")
        del student
    torch.set_rng_state(random)
    paces = processes.broadcast(paces)
    return paces[0], paces[-1]


def seconds_of_steps(
    method: Method,
    student: nn.Module,
    fitted: Any,
    text: TrainingData,
    config: RunConfig,
    device: Device,
    processes: Processes,
) -> list[float]:
    """Seconds of each of TIMED training steps of `student`, on the text's first batches."""
    learner, taken = Learner(method, student, method.optimizer(student), fitted, device, processes), []
    for index in [*range(WARM), *range(TIMED)]:
        device.synchronize()
        began = time.perf_counter()
        batch = text.batch(index, config.batch, config.seed)
        parts = batch.split(processes.size * config.accumulate)
        learner.step(batch, parts, 1, clip=config.clip)
        device.synchronize()
        taken.append(time.perf_counter() - began)
    return taken[WARM:]
