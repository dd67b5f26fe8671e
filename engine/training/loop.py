"""The training loop: a generator of events, from a RunConfig to a saved student. Knows no method by name."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Generator, Iterator
from functools import partial
from typing import Any

import torch
from torch import nn

from engine.inheritance.attention_film import begin, take
from engine.learning.masked_lm import pair_score
from engine.methods.base import Method
from engine.model.saved_models import save_model
from engine.settings.budget import parse_budget
from engine.settings.device import Device
from engine.settings.run_config import RunConfig
from engine.sizing.step_flops import BatchShape
from engine.storage.atomic import clear_drafts, write_json
from engine.storage.runs import Run
from engine.teachers import catalog as teachers
from engine.text.corpora import TrainingData
from engine.text.masking import Masking
from engine.text.sentence_pairs import PairCorpus
from engine.training.before_after import measured
from engine.training.budget_trial import SAMPLE, settle
from engine.training.checkpoints import load_checkpoint, restore_parameters, restore_random_state, save_checkpoint
from engine.training.gradients import backward, learning
from engine.training.plan import plan
from engine.training.processes import Processes, join
from engine.training.run_card import hidden_words, start_event, student_card
from engine.training.schedule import Countdown, LearningRate, moments_of

Event = dict[str, Any]
Window = dict[str, Any]  # loss sums, tokens and steps since the last step event


class TrainingError(ValueError):
    """A run that went wrong in a way that other settings can mend, in one sentence."""


def train(config: RunConfig, run: Run) -> Iterator[Event]:
    """Runs `config` in the folder `run`, continuing from its checkpoint if it has one.

    Yields events with a "kind": prepare, start, teacher, step, evaluation, attention, picture, checkpoint, and at last
    finished or stopped. A stop request in the run's folder is honoured after the step in progress; several processes
    stop together, after the next step event. Under torchrun every process of the run iterates this; rank 0's events
    are the run's.

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
    masking = Masking(config.masking, config.mask_share)
    data = partial(method.data, planned.corpus, teacher.tokenizer, length, masking=masking)
    corpus = data(rows=max(SAMPLE if config.budget else config.steps, method.calibration_batches, 1) * config.batch)
    teacher_bert = teacher.bert.to(device.type).eval().requires_grad_(False)
    guide = yield from _guide(method.guide(teacher_bert, corpus, config.seed, device), run, processes)
    if guide is None:
        processes.leave()
        yield {"kind": "stopped", "message": "Stopped before the student's first step; resume begins again."}
        return
    teacher_bert.to("cpu")  # where students are prepared
    if config.budget:
        yield {"kind": "prepare", "message": f"Finding out how many steps {parse_budget(config.budget)} are"}
    outlook = settle(config, planned, teacher_bert, guide, corpus, device, processes, run)
    if config.budget:
        assert outlook.steps is not None
        config = dataclasses.replace(config, steps=outlook.steps)
        corpus = data(rows=max(config.steps, method.calibration_batches) * config.batch)
    planned = plan(config, run.path.parent, outlook)
    method = planned.method
    student = method.prepare(teacher.bert, shape, config.seed)
    teacher_bert.to(device.type)

    # where an earlier process left off
    if processes.rank == 0:
        clear_drafts(run.path)
        clear_drafts(run.checkpoints_dir)
    saved = load_checkpoint(run.checkpoints_dir)
    if saved:
        student = method.restore(student, saved["extra"]["method"])
        restore_parameters(student, saved["student"])
    student = learning(student, device)
    if not saved:
        if method.calibration_batches:
            yield {"kind": "prepare", "message": f"Looking at {method.calibration_batches:,} batches of the corpus"}
        student = learning(_calibrated(method, student, corpus, config, device, processes), device)
    shape = method.settled(student, shape)
    planned = dataclasses.replace(planned, shape=shape)
    optimizer = method.optimizer(student)
    rate, countdown = LearningRate(config.steps, config.warmup), None
    if config.budget and parse_budget(config.budget).unit == "seconds" and outlook.course:
        countdown = Countdown(parse_budget(config.budget).amount, config.steps, outlook.course)
    done = 0
    if saved:
        if countdown is not None and "countdown" in saved["extra"]:
            rate.restore(saved["extra"]["rate"])
            countdown.restore(saved["extra"]["countdown"])
            config = dataclasses.replace(config, steps=rate.steps)
        optimizer.load_state_dict(saved["optimizer"])
        restore_random_state(saved["random"])
        done = saved["step"]
    if processes.sums(torch.tensor([float(done)])) != [done * processes.size]:
        raise TrainingError("The run's processes see different checkpoints; wait until its folder is the same for all.")

    training_parameters = sum(p.numel() for p in student.parameters())
    yield start_event(config, planned, teacher.bert.shape, training_parameters, length, len(corpus.rows), done)
    teacher_score = method.score(guide, corpus, device)
    yield {"kind": "teacher", **teacher_score}
    film = begin(run.attention_dir, teacher_bert, corpus, shape, device.type) if processes.rank == 0 else None
    if not saved and config.steps:  # without steps the student is scored as it is at the end, once
        yield {"kind": "evaluation", "step": 0, **method.score(student, corpus, device)}
        yield from _picture(method, student, config, length, 0)
        yield from take(film, student, 0)

    # the steps
    moments = moments_of(config)
    window: Window = {"losses": {}, "tokens": 0, "steps": 0}
    spent: dict[str, Any] = {"tokens": 0, "flops": 0, "training_seconds": 0.0}  # since step 1, over all processes
    if saved:
        spent = saved["extra"].get("spent", spent)
        window = saved["extra"]["window"]
        window["losses"] = window["losses"] if processes.rank == 0 else {}  # they are the sums over all processes
    since_step, stopped = done, False
    since = mark = time.perf_counter()
    while done < config.steps:
        step = done + 1
        batch = corpus.batch(step - 1, config.batch, config.seed)
        parts = batch.split(processes.size * config.accumulate)
        looked_at = [BatchShape(len(part.ids), part.ids.shape[1], len(part.targets)) for part in parts]
        spent["flops"] += method.step_flops(teacher.bert.shape, shape, looked_at, step, student)
        losses = backward(method, student, guide, batch, parts, device, processes)
        torch.nn.utils.clip_grad_norm_(student.parameters(), config.clip)
        numbers = method.after_backward(student, optimizer, step)
        for group in optimizer.param_groups:
            peak = group.setdefault("peak_lr", group["lr"])
            group["lr"] = peak * rate.at(step)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)  # now and not later: the next forward pass needs the memory
        student, optimizer = method.pass_on(student, optimizer)
        done = step

        for name, value in losses.items():
            window["losses"][name] = window["losses"].get(name, 0.0) + value
        tokens = int(batch.visible.sum())
        window["tokens"] += tokens
        spent["tokens"] += tokens
        window["steps"] += 1
        if countdown is not None:
            device.synchronize()
            end = countdown.took(step, *processes.said([spent["training_seconds"] + time.perf_counter() - mark]))
            if end != config.steps:
                rate.move_end(step, end)
                method.replan(end)
                config = dataclasses.replace(config, steps=end)
                moments = moments_of(config)
        told = step % moments.log_every == 0 or step == config.steps
        asked = (told or processes.size == 1) and processes.agree(run.stop_requested())
        stopped = asked and step < config.steps
        if told:
            means = {name: total / window["steps"] for name, total in _totals(window, processes).items()}
            if not all(map(math.isfinite, means.values())):
                raise TrainingError(
                    f"The loss is no number any more at step {step}; start again with a lower learning rate."
                )
            step_seconds = (time.perf_counter() - since) / (step - since_step)
            spent["training_seconds"] += time.perf_counter() - mark
            yield {
                "kind": "step",
                "step": step,
                "steps": config.steps,
                "loss": sum(means.values()),
                "losses": means,
                "numbers": numbers,
                "learning_rate": rate.at(step),
                **spent,
                "tokens_per_second": window["tokens"] / window["steps"] / step_seconds,
                "step_seconds": step_seconds,
                "seconds_left": step_seconds * (config.steps - step),
                "seconds": time.perf_counter() - began,
            }
            window = {"losses": {}, "tokens": 0, "steps": 0}
            since = mark = time.perf_counter()
            since_step = step
        pause = time.perf_counter()
        spent["training_seconds"] += pause - mark
        if step in moments.pictures:
            yield from _picture(method, student, config, length, step)
        if step in moments.evaluations and step < config.steps and not stopped:
            yield {"kind": "evaluation", "step": step, **method.score(student, corpus, device)}
            yield from take(film if step in moments.filmed else None, student, step)
        if step in moments.checkpoints or stopped:
            said = {**window, "losses": _totals(window, processes)}
            extra = {"method": method.state(student), "window": said, "spent": spent}
            if countdown is not None:
                extra |= {"rate": rate.state(), "countdown": countdown.state()}
            if processes.rank == 0:
                save_checkpoint(run.checkpoints_dir, step, student, optimizer, extra)
            yield {"kind": "checkpoint", "step": step}
        mark = time.perf_counter()
        since += mark - pause  # what was not a step does not count as one
        if stopped:
            break

    # the student
    yield {"kind": "prepare", "message": "Folding and scoring the student"}
    bert = method.finish(student).to(device.type).eval()
    lineage = method.lineage(student)
    score = method.score(method.whole(bert, lineage).to(device.type).eval(), corpus, device)
    if isinstance(corpus, PairCorpus):
        score["pair_accuracy"] = pair_score(bert, corpus, device)["accuracy"]
    yield {"kind": "evaluation", "step": done, **score}
    yield from take(film, bert, done)
    seconds = time.perf_counter() - began
    sides = measured(teacher_bert, bert, corpus, device) if processes.rank == 0 else {}
    scores = (teacher_score, score)
    card = student_card(run.id, config, planned, bert, teacher.bert.shape, done, scores, seconds, spent, sides)
    if processes.rank == 0:
        save_model(run.student_dir, bert, teacher.tokenizer, card, lineage)
        write_json(run.card_path, card)
    processes.leave()
    yield {"kind": "stopped" if stopped else "finished", "step": done, "card": card}


def _guide(
    work: Generator[tuple[str, float], None, Any], run: Run, processes: Processes
) -> Generator[Event, None, Any]:
    """What `work` returns, with an event for each time it tells how far it is; None: a stop was asked for meanwhile.

    Of several processes the first one works; the others find in the cache what it has kept there, or work after it.
    """
    began, guide, stopped = time.perf_counter(), None, False
    while processes.rank == 0 and guide is None and not stopped:
        try:
            doing, share = next(work)
        except StopIteration as end:
            guide = end.value
            break
        left = (time.perf_counter() - began) * (1 - share) / share if share else None
        yield {"kind": "prepare", "message": doing, "share": share, "seconds_left": left}
        stopped = run.stop_requested()
    if processes.agree(stopped):
        return None
    while guide is None:
        try:
            next(work)
        except StopIteration as end:
            guide = end.value
    return guide


def _calibrated(
    method: Method, student: nn.Module, corpus: TrainingData, config: RunConfig, device: Device, processes: Processes
) -> nn.Module:
    """The prepared student after the method has looked at the corpus; rank 0 looks, and all do what it decided.

    Two GPUs that round differently would otherwise take different heads out of one student.
    """
    if processes.rank == 0 or not method.calibration_batches:
        looks = range(method.calibration_batches)
        batches = (corpus.batch(look, config.batch, config.seed).to(device.type) for look in looks)
        decided = method.calibrate(student, batches)
        if method.calibration_batches:
            processes.tell(method.state(decided))
        return decided
    return method.restore(student.to("cpu"), processes.tell(None))


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
