"""A config understood: everything that can be known, and refused, before any weight is loaded."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from engine.inheritance.attention_film import SENTENCES
from engine.methods.base import Method, step_flops
from engine.methods.kinds.shape_changing import ShapeChanging, cost_phases
from engine.methods.registry import find
from engine.settings.budget import Budget, CostEstimate, parse_budget, steps_for_budget, sum_over_steps
from engine.settings.device import Device, pick_device
from engine.settings.options import ConfigError, parse_options
from engine.settings.run_config import RunConfig
from engine.sizing.cost import compactor_parameters, model_bytes, parameters
from engine.sizing.shape import Shape, ShapeError
from engine.sizing.step_flops import BatchShape
from engine.storage.attention_frames import MOST_TOKENS
from engine.storage.disk_space import refuse_without_room
from engine.teachers import catalog as teachers
from engine.training.checkpoints import KEPT
from engine.training.past_runs import past_runs_like
from engine.training.schedule import FRAMES

MANY_STEPS = 1_000_000  # with so many steps no method refuses a shape for want of them


@dataclass(frozen=True)
class SampledBatches:
    """Batches as a run will see them, each in the parts in which it is taken, and how many tokens they have."""

    batches: Sequence[Sequence[BatchShape]]
    tokens: float  # of a batch, without padding
    full_rows: bool = False  # nobody has looked: rows are taken for full


@dataclass(frozen=True)
class Plan:
    """Who learns what from whom, where, and what that is expected to take."""

    method: Method
    teacher: teachers.Card
    shape: Shape  # the student's
    corpus: str
    device: Device
    estimate: CostEstimate


def plan(config: RunConfig, runs: Path | None = None, known: CostEstimate | None = None) -> Plan:
    """What `config` asks for; `runs`: the folder in which the teacher run:ID looks.

    `known`: what a run has found out when it began; without it the estimate is what earlier runs let expect, or rows
    as full as they can be. How many steps a budget in seconds gives may then stay open.

    Raises:
        ValueError: (ConfigError, ShapeError, TeacherError, CorpusError) it cannot be run as asked.
    """
    kind = find(config.method)
    options = parse_options(kind.Options, config.options)
    card = teachers.teacher_card(config.teacher, runs)
    method = kind(options, MANY_STEPS if config.budget else config.steps)
    corpus = method.task.corpus(config.corpus, card.corpus)  # refuses a corpus that is not there
    device = pick_device(config.device, config.precision)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", config.processes))  # torchrun knows better than an older config
    if device.type != "cpu" and here > device.count:
        raise ConfigError(
            [
                f"Each process needs a {device.type} device of its own and this machine has {device.count}, got {here} "
                f"processes; use at most {device.count}."
            ]
        )
    shape = method.student_shape(card.shape, config.student)
    estimate = known
    if estimate is None:
        past = past_runs_like(runs, config, corpus, method.task.pairs, method.task.name, device.name)
        sampled = assumed_batches(config, card.shape, past.tokens_a_row)
        pace = None if past.flops_a_second is None else (1 / past.flops_a_second, 1 / past.flops_a_second)
        estimate = estimate_cost(config, method, card.shape, shape, sampled, pace)
    if config.budget and estimate.steps is not None:
        method = kind(options, estimate.steps)
        try:
            shape = method.student_shape(card.shape, config.student)
        except (ShapeError, ConfigError) as error:
            spend, plural = parse_budget(config.budget), "s" * (estimate.steps > 1)
            about = f"The budget of {spend} comes to {estimate.steps:,} step{plural}."
            raise type(error)([about, *error.problems]) from None
    return Plan(method, card, shape, corpus, device, estimate)


def assumed_batches(config: RunConfig, teacher: Shape, tokens_a_row: float | None) -> SampledBatches:
    """Batches of even rows of `tokens_a_row` tokens, or as full as they can be."""
    longest = min(config.length, teacher.positions)
    length = min(longest, max(2, round(tokens_a_row or longest)))
    parts = config.accumulate * config.processes
    edges = [config.batch * index // parts for index in range(parts + 1)]
    rows = [after - before for before, after in zip(edges, edges[1:], strict=False)]
    batch = [BatchShape(some, length, round(config.mask_share * some * length)) for some in rows]
    return SampledBatches([batch], config.batch * (tokens_a_row or longest), tokens_a_row is None)


def estimate_cost(
    config: RunConfig,
    method: Method,
    teacher: Shape,
    student: Shape,
    sampled: SampledBatches,
    pace: tuple[float, float] | None = None,
) -> CostEstimate:
    """What a run over batches like those of `sampled` takes, and how many steps its budget comes to.

    `pace`: seconds a FLOP in the run's first and in its last steps; in between, a step's seconds go with its FLOPs.

    Raises:
        ConfigError: the budget is less than one step takes.
    """

    def flops(steps: int) -> float:
        if steps < 1:
            return 0.0
        which = type(method)(method.options, steps)
        return sum_over_steps(
            lambda step: _mean_flops(which, teacher, student, step, sampled),
            cost_phases(which, teacher, student),
            steps,
        )

    def course(steps: int) -> list[tuple[int, float]]:
        assert pace is not None
        first, last = pace
        which = type(method)(method.options, steps)
        phases = cost_phases(which, teacher, student)
        counts = [_mean_flops(which, teacher, student, phase, sampled) for phase in phases]
        begin, end = counts[0], counts[-1]
        slope = (first * begin - last * end) / (begin - end) if begin != end else first
        return [(phase, first * begin + slope * (count - begin)) for phase, count in zip(phases, counts, strict=True)]

    def seconds(steps: int) -> float:
        price = dict(course(steps)) if steps else {}
        return sum_over_steps(price.__getitem__, list(price), steps)

    spend = parse_budget(config.budget) if config.budget else Budget(config.steps, "steps")
    steps: int | None = int(spend.amount)
    if spend.unit == "tokens":
        steps = int(spend.amount / sampled.tokens)
    elif spend.unit == "flops":
        steps = steps_for_budget(flops, spend.amount)
    elif spend.unit == "seconds":
        steps = None if pace is None else steps_for_budget(seconds, spend.amount)
    if config.budget and steps == 0:
        raise ConfigError([f"A budget of {spend} is less than one step takes; give more, or take a smaller batch."])
    if steps is None:
        return CostEstimate(None, seconds=spend.amount)
    timed = (seconds(steps), sampled.full_rows, course(steps)) if pace and steps else (None, sampled.full_rows)
    return CostEstimate(steps, steps * sampled.tokens, flops(steps), *timed)


def disk_bytes(config: RunConfig, planned: Plan) -> dict[str, int]:
    """Bytes that a run has on the disk at its fullest: "checkpoints", "student" and "attention".

    Two checkpoints stay and a third is written beside them, each of the weights and Adam's two moments in float32. A
    student that changes shape is at its largest when it begins, with its teacher's width and its compactors. An upper
    bound for attention, which is compressed.
    """
    trained, lineage = parameters(planned.shape), 0
    if isinstance(planned.method, ShapeChanging):
        born = planned.teacher.shape.plain().replace(
            layers=planned.shape.layers, pooler=False, pair_head=False, mlm_head=True
        )
        lineage = compactor_parameters(born)
        trained = max(trained, parameters(born.replace(tied=False)) + lineage)
    takes_steps = bool(config.budget or config.steps)
    pictures = min(FRAMES, config.evaluations) + 3  # at the beginning, at the end, and the teacher's
    heads = max(planned.teacher.shape.layers * planned.teacher.shape.heads, planned.shape.layers * planned.shape.heads)
    return {
        "checkpoints": (KEPT + 1) * 3 * 4 * trained * takes_steps,
        "student": model_bytes(planned.shape) + 4 * lineage,
        "attention": pictures * SENTENCES * heads * min(config.length, MOST_TOKENS) ** 2,
    }


def refuse_full_disk(config: RunConfig, planned: Plan, folder: Path) -> None:
    """Refuses a run for which there is no room in `folder`; what lies there already, of a run that goes on, counts.

    Raises:
        DiskFullError: says how many bytes it needs, for what, and how many are free.
    """
    needed = disk_bytes(config, planned)
    there = sum(path.stat().st_size for name in needed for path in (folder / name).rglob("*") if path.is_file())
    parts = ", ".join(f"{name} {count:,}" for name, count in needed.items())
    what = f"The run ({parts} bytes{f', of which {there:,} are there' if there else ''})"
    advice = "free some space, then start or resume it"
    refuse_without_room(folder, max(0, sum(needed.values()) - there), what, advice)


def _mean_flops(method: Method, teacher: Shape, student: Shape, step: int, sampled: SampledBatches) -> float:
    """FLOPs of `step`, the mean over the batches of `sampled`."""
    counts = [step_flops(method, teacher, student, parts, step) for parts in sampled.batches]
    return sum(counts) / len(counts)
