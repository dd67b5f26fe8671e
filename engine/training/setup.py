"""Before the first step: who learns what from whom, and where an earlier process of the run left off."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Generator
from typing import Any

import torch
from torch import nn

from engine.inheritance.attention_film import start_film
from engine.methods.base import Method
from engine.methods.kinds.calibrated import calibrated, calibration_batches, shape_after
from engine.methods.kinds.stateful import restored, state_of
from engine.settings.budget import CostEstimate, parse_budget
from engine.settings.device import Device
from engine.settings.run_config import RunConfig
from engine.storage.atomic import clear_drafts
from engine.storage.runs import Run
from engine.teachers.card import Teacher
from engine.teachers.catalog import load_teacher
from engine.text.corpora import TrainingData
from engine.text.masking import Masking
from engine.training.budget_trial import BATCHES_READ, settle_budget
from engine.training.checkpoints import NoWholeCheckpointError, load_checkpoint
from engine.training.meter import Meter
from engine.training.plan import Plan, plan, refuse_full_disk
from engine.training.processes import Processes
from engine.training.resume import refuse_another_run, restore, restored_student
from engine.training.run_card import start_event
from engine.training.schedule import Countdown, LearningRate
from engine.training.session import Event, Session, TrainingError, is_number
from engine.training.step import Learner, trainable


def set_up(config: RunConfig, run: Run, processes: Processes) -> Generator[Event, None, Session | None]:
    """Everything that `config` needs in the folder `run`; None: a stop was asked for meanwhile.

    Raises:
        ValueError: (ConfigError, ShapeError, TeacherError, CorpusError, CheckpointError, TrainingError) it cannot be
            run as asked.
    """
    meter = Meter(processes)

    # whether an earlier process left something to go on from
    planned = plan(config, run.path.parent)
    task, device = planned.method.task, planned.device
    saved = yield from _left_off(run, config, planned, processes)
    refuse_full_disk(config, planned, run.path)

    # the teacher and the text
    yield {"kind": "prepare", "message": f"Loading the teacher {planned.teacher.label}"}
    teacher = load_teacher(config.teacher, run.path.parent)
    yield {"kind": "prepare", "message": f"Reading {task.describe(planned.corpus)}"}
    steps = max(BATCHES_READ if config.budget else config.steps, 1)
    data = _open_data(config, planned, teacher, steps)
    teacher_bert = teacher.bert.to(device.type).eval().requires_grad_(False)
    work = task.fit_teacher(teacher_bert, data, config.seed, device)
    fitted = yield from _fit_teacher(work, run, processes)
    if fitted is None:
        return None
    teacher_bert.to("cpu")  # where students are initialised

    # how many steps its budget comes to
    if config.budget:
        yield {"kind": "prepare", "message": f"Finding out how many steps {parse_budget(config.budget)} are"}
    estimate = settle_budget(config, planned, teacher_bert, fitted, data, device, processes, run)
    if config.budget:
        assert estimate.steps is not None
        config = dataclasses.replace(config, steps=estimate.steps)
        data = _open_data(config, planned, teacher, config.steps)
    planned = plan(config, run.path.parent, estimate)
    method = planned.method

    # the student, as it begins or where an earlier process left off
    student = method.init_student(teacher.bert, planned.shape, config.seed)
    teacher_bert.to(device.type)
    if saved:
        student = trainable(restored_student(method, student, saved), device)
    else:
        student = trainable(student, device)
        if looks := calibration_batches(method):
            yield {"kind": "prepare", "message": f"Looking at {looks:,} batches of the corpus"}
        student = trainable(_calibrate(method, student, data, config, device, processes), device)
    planned = dataclasses.replace(planned, shape=shape_after(method, student, planned.shape))
    session = Session(
        config=config,
        run=run,
        processes=processes,
        meter=meter,
        plan=planned,
        teacher=teacher,
        data=data,
        length=_length(config, planned),
        learner=Learner(method, student, method.optimizer(student), fitted, device, processes),
        rate=LearningRate(config.steps, config.warmup),
        countdown=_countdown(config, estimate),
        done=0,
    )
    if saved:
        restore(session, saved)
    if processes.sum_over_processes(torch.tensor([float(session.done)])) != [session.done * processes.size]:
        raise TrainingError("The run's processes see different checkpoints; wait until its folder is the same for all.")

    # what is known before the first step
    parameters = sum(parameter.numel() for parameter in student.parameters())
    yield start_event(
        session.config, planned, teacher.bert.shape, parameters, session.length, len(data.rows), session.done
    )
    session.teacher_score = session.score(fitted)
    _refuse_no_number(planned, session.teacher_score)
    yield {"kind": "teacher", **session.teacher_score}
    if processes.rank == 0:
        session.film = start_film(run.attention_dir, teacher_bert, data, planned.shape, device.type)
    return session


def _left_off(
    run: Run, config: RunConfig, planned: Plan, processes: Processes
) -> Generator[Event, None, dict[str, Any] | None]:
    """The newest whole checkpoint, or None; with an event about each one that was passed over.

    Raises:
        ConfigError, CheckpointError: it is of another config, or of a later version.
    """
    if processes.rank == 0:  # this process alone works on the run: see job.perform
        for folder in (run.path, run.checkpoints_dir, run.attention_dir):
            clear_drafts(folder)
    try:
        saved = load_checkpoint(run.checkpoints_dir)
    except NoWholeCheckpointError as error:
        yield {"kind": "notice", "message": f"{error} No whole one is left: the run begins at its first step."}
        return None
    if saved is not None:
        refuse_another_run(saved, config, planned.method)
        goes_on = f"The run goes on from step {saved['step']:,}, the newest whole one."
        for said in saved["passed_over"]:
            yield {"kind": "notice", "message": f"{said} {goes_on}"}
    return saved


def _refuse_no_number(planned: Plan, score: dict[str, float]) -> None:
    """Refuses a teacher whose score is no number. Raises TrainingError."""
    if not is_number(score):
        raise TrainingError(
            f"The teacher {planned.teacher.label} scores no number on held-out text: its weights are damaged, or too "
            "large for this precision; choose another teacher, or --precision float32."
        )


def _length(config: RunConfig, planned: Plan) -> int:
    """The longest row, in tokens, that was asked for and that the student has positions for."""
    return min(config.length, planned.shape.positions)


def _open_data(config: RunConfig, planned: Plan, teacher: Teacher, steps: int) -> TrainingData:
    """Rows for so many steps, or for the look before the first one."""
    method = planned.method
    rows = max(steps, calibration_batches(method)) * config.batch
    masking = Masking(config.masking, config.mask_share)
    return method.task.open_data(planned.corpus, teacher.tokenizer, _length(config, planned), rows, masking)


def _fit_teacher(
    work: Generator[tuple[str, float], None, Any], run: Run, processes: Processes
) -> Generator[Event, None, Any]:
    """What `work` returns, with an event for each time it tells how far it is; None: a stop was asked for meanwhile.

    Of several processes the first one works; the others find in the cache what it has kept there, or work after it.
    """
    began, fitted, stopped = time.perf_counter(), None, False
    while processes.rank == 0 and fitted is None and not stopped:
        try:
            doing, share = next(work)
        except StopIteration as end:
            fitted = end.value
            break
        left = (time.perf_counter() - began) * (1 - share) / share if share else None
        yield {"kind": "prepare", "message": doing, "share": share, "seconds_left": left}
        stopped = run.stop_requested()
    if processes.broadcast_flag(stopped):
        return None
    while fitted is None:
        try:
            next(work)
        except StopIteration as end:
            fitted = end.value
    return fitted


def _calibrate(
    method: Method, student: nn.Module, data: TrainingData, config: RunConfig, device: Device, processes: Processes
) -> nn.Module:
    """The initialised student after the method has looked at the corpus; rank 0 looks, and all do what it decided.

    Two GPUs that round differently would otherwise take different heads out of one student.
    """
    looks = calibration_batches(method)
    if processes.rank == 0 or not looks:
        batches = (data.batch(look, config.batch, config.seed).to(device.type) for look in range(looks))
        decided = calibrated(method, student, batches)
        if looks:
            processes.broadcast_object(state_of(method, decided))
        return decided
    return restored(method, student.to("cpu"), processes.broadcast_object(None))


def _countdown(config: RunConfig, estimate: CostEstimate) -> Countdown | None:
    """What moves the end of a run whose budget is time."""
    if not config.budget or parse_budget(config.budget).unit != "seconds" or not estimate.course:
        return None
    return Countdown(parse_budget(config.budget).amount, config.steps, estimate.course)
