"""The training loop: a generator of events, from a RunConfig to a saved student. Knows no method by name."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Generator, Iterator
from typing import Any

import torch
from torch import Tensor, nn

from engine import teachers
from engine.card import hidden_words, start_event, student_card
from engine.checkpoints import (
    load_checkpoint,
    restore_parameters,
    restore_random_state,
    save_checkpoint,
    save_model,
    sweep,
)
from engine.config import RunConfig
from engine.device import Device
from engine.evaluate import pair_score
from engine.masking import Batch, Masking
from engine.methods import Method
from engine.pairs import Pairs
from engine.plan import plan
from engine.processes import Processes, join
from engine.runs import Run, write_json

LEAST_BETWEEN_EVALUATIONS = 10  # steps
PICTURES = 40  # how often a run shows what its student looks like inside

Event = dict[str, Any]
Window = dict[str, Any]  # loss sums, tokens and steps since the last step event


class TrainingError(ValueError):
    """A run that went wrong in a way that other settings can mend, in one sentence."""


def train(config: RunConfig, run: Run) -> Iterator[Event]:
    """Runs `config` in the folder `run`, continuing from its checkpoint if it has one.

    Yields events with a "kind": prepare, start, teacher, step, evaluation, picture, checkpoint, and at last finished or
    stopped. A stop request in the run's folder is honoured after the step in progress; several processes stop together,
    after the next step event. Under torchrun every process of the run iterates this; rank 0's events are the run's.

    Raises:
        ValueError: (ConfigError, ShapeError, TeacherError, CorpusError, CheckpointError, TrainingError) it cannot be
            run as asked.
    """
    began = time.perf_counter()
    torch.manual_seed(config.seed)
    processes = join()
    config = dataclasses.replace(config, processes=processes.size)  # a resumed run may have others than before

    # who learns what from whom
    planned = plan(config, run.path.parent)
    method, shape, device = planned.method, planned.shape, planned.device
    yield {"kind": "prepare", "message": f"Loading the teacher {planned.teacher.label}"}
    teacher = teachers.load(config.teacher, run.path.parent)
    length = min(config.length, shape.positions)
    yield {"kind": "prepare", "message": f"Reading {method.subject(planned.corpus)}"}
    rows = max(1, config.steps) * config.batch
    masking = Masking(config.masking, config.mask_share)
    corpus = method.data(planned.corpus, teacher.tokenizer, length, rows, masking)
    student = method.prepare(teacher.bert, shape, config.seed).requires_grad_(True)
    teacher_bert = teacher.bert.to(device.type).eval().requires_grad_(False)
    guide = yield from _guide(method.guide(teacher_bert, corpus, config.seed, device), run, processes)
    if guide is None:
        yield {"kind": "stopped", "message": "Stopped before the student's first step; resume begins again."}
        return

    # where an earlier process left off
    if processes.rank == 0:
        sweep(run.path)
        sweep(run.checkpoints_dir)
    saved = load_checkpoint(run.checkpoints_dir)
    if saved:
        student = method.restore(student, saved["extra"]["method"])
        restore_parameters(student, saved["student"])
    student.to(device.type).train()
    optimizer = method.optimizer(student)
    done = 0
    if saved:
        optimizer.load_state_dict(saved["optimizer"])
        restore_random_state(saved["random"])
        done = saved["step"]
    if processes.sums(torch.tensor([float(done)])) != [done * processes.size]:
        raise TrainingError("The run's processes see different checkpoints; wait until its folder is the same for all.")

    training_parameters = sum(p.numel() for p in student.parameters())
    yield start_event(config, planned, teacher.bert.shape, training_parameters, length, len(corpus.rows), done)
    teacher_score = method.score(guide, corpus, device)
    yield {"kind": "teacher", **teacher_score}
    if not saved:
        yield {"kind": "evaluation", "step": 0, **method.score(student, corpus, device)}
        yield from _picture(method, student, config, length, 0)

    # the steps
    log_every = min(20, max(1, config.steps // 200))
    evaluations = _spread(config.steps, config.evaluations, LEAST_BETWEEN_EVALUATIONS)
    checkpoints, pictures = (_spread(config.steps, times, 1) for times in (config.checkpoints, PICTURES))
    window: Window = {"losses": {}, "tokens": 0, "steps": 0}
    if saved:
        window = saved["extra"]["window"]
        window["losses"] = window["losses"] if processes.rank == 0 else {}  # they are the sums over all processes
    since, since_step, stopped = time.perf_counter(), done, False
    for step in range(done + 1, config.steps + 1):
        batch = corpus.batch(step - 1, config.batch, config.seed)
        losses = _backward(method, student, guide, batch, device, processes, config.accumulate)
        torch.nn.utils.clip_grad_norm_(student.parameters(), config.clip)
        numbers = method.after_backward(student, optimizer, step)
        for group in optimizer.param_groups:
            peak = group.setdefault("peak_lr", group["lr"])
            group["lr"] = peak * learning_rate_factor(step, config.steps, config.warmup)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)  # now and not later: the next forward pass needs the memory
        student, optimizer = method.pass_on(student, optimizer)
        done = step

        for name, value in losses.items():
            window["losses"][name] = window["losses"].get(name, 0.0) + value
        window["tokens"] += int(batch.visible.sum())
        window["steps"] += 1
        told = step % log_every == 0 or step == config.steps
        asked = (told or processes.size == 1) and processes.agree(run.stop_requested())
        stopped = asked and step < config.steps
        if told:
            means = {name: total / window["steps"] for name, total in _totals(window, processes).items()}
            if not all(map(math.isfinite, means.values())):
                raise TrainingError(
                    f"The loss is no number any more at step {step}; start again with a lower learning rate."
                )
            step_seconds = (time.perf_counter() - since) / (step - since_step)
            yield {
                "kind": "step",
                "step": step,
                "loss": sum(means.values()),
                "losses": means,
                "numbers": numbers,
                "learning_rate": learning_rate_factor(step, config.steps, config.warmup),
                "tokens_per_second": window["tokens"] / window["steps"] / step_seconds,
                "step_seconds": step_seconds,
                "seconds_left": step_seconds * (config.steps - step),
                "seconds": time.perf_counter() - began,
            }
            window = {"losses": {}, "tokens": 0, "steps": 0}
            since, since_step = time.perf_counter(), step
        pause = time.perf_counter()
        if step in pictures:
            yield from _picture(method, student, config, length, step)
        if step in evaluations and step < config.steps and not stopped:
            yield {"kind": "evaluation", "step": step, **method.score(student, corpus, device)}
        if step in checkpoints or stopped:
            extra = {"method": method.state(student), "window": {**window, "losses": _totals(window, processes)}}
            if processes.rank == 0:
                save_checkpoint(run.checkpoints_dir, step, student, optimizer, extra)
            yield {"kind": "checkpoint", "step": step}
        since += time.perf_counter() - pause  # what was not a step does not count as one
        if stopped:
            break

    # the student
    yield {"kind": "prepare", "message": "Folding and scoring the student"}
    bert = method.finish(student).to(device.type).eval()
    lineage = method.lineage(student)
    score = method.score(method.whole(bert, lineage).to(device.type).eval(), corpus, device)
    if isinstance(corpus, Pairs):
        score["pair_accuracy"] = pair_score(bert, corpus, device)["accuracy"]
    yield {"kind": "evaluation", "step": done, **score}
    seconds = time.perf_counter() - began
    card = student_card(run.id, config, planned, bert, teacher.bert.shape, done, (teacher_score, score), seconds)
    if processes.rank == 0:
        save_model(run.student_dir, bert, teacher.tokenizer, card, lineage)
        write_json(run.card_path, card)
    processes.leave()
    yield {"kind": "stopped" if stopped else "finished", "step": done, "card": card}


def _guide(
    work: Generator[tuple[str, float], None, Any], run: Run, processes: Processes
) -> Generator[Event, None, Any]:
    """What `work` returns, with an event for each time it tells how far it is; None: a stop was asked for meanwhile."""
    began = time.perf_counter()
    while True:
        try:
            doing, share = next(work)
        except StopIteration as end:
            return end.value
        left = (time.perf_counter() - began) * (1 - share) / share if share else None
        yield {"kind": "prepare", "message": doing, "share": share, "seconds_left": left}
        if processes.size == 1 and run.stop_requested():  # several can only stop together, after a step
            return None


def _backward(
    method: Method,
    student: nn.Module,
    teacher: Any,
    batch: Batch,
    device: Device,
    processes: Processes,
    accumulate: int,
) -> dict[str, Tensor]:
    """Puts the gradients of the batch's losses into the student; this process's addends of those losses.

    The batch is split between the processes and into `accumulate` micro-batches each. A part's losses are means over
    its hidden words, so they weigh as much as its share of the batch's hidden words: the sum is what the whole batch
    would have given.
    """
    addends: dict[str, Tensor] = {}
    parts = batch.parts(processes.size * accumulate)[processes.rank :: processes.size]
    for part in parts:
        share = len(part.targets) / max(1, len(batch.targets))
        with processes.forward(student, last=part is parts[-1]) as network:
            with device.autocast():
                losses = method.losses(network, teacher, part.to(device.type))
            total = torch.stack(list(losses.values())).sum() * share
            (total * processes.size).backward()  # the processes' gradients are averaged, and should be added
        for name, value in losses.items():
            addend = value.detach() * share if share else torch.zeros_like(value)  # the mean of nothing is no number
            addends[name] = addends[name] + addend if name in addends else addend
    return addends


def _totals(window: Window, processes: Processes) -> dict[str, float]:
    """Loss sums of the window over all processes. Waits for the device."""
    if not window["losses"]:
        return {}
    return dict(zip(window["losses"], processes.sums(torch.stack(list(window["losses"].values()))), strict=True))


def _picture(method: Method, student: nn.Module, config: RunConfig, length: int, step: int) -> Iterator[Event]:
    """The event that lets a page draw the student, if its method has a picture of it."""
    rows = max(1, config.batch // (config.processes * config.accumulate))  # of a forward pass
    picture = method.picture(student, rows * length, length, rows * hidden_words(length, config.mask_share))
    if picture is not None:
        yield {"kind": "picture", "step": step, **picture}


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at `step` (from 1): a straight rise over `warmup`, then a straight fall."""
    rise = warmup * steps
    return min(step / rise if rise else 1.0, (steps - step + 1) / max(1.0, steps - rise), 1.0)


def _spread(steps: int, times: int, least: int) -> set[int]:
    """At most `times` steps, evenly over the run, at least `least` apart, the last step always among them."""
    times = max(1, min(times, steps // max(1, least)))
    return {round(steps * (index + 1) / times) for index in range(times)}
