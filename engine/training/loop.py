"""The training loop: a generator of events, from a RunConfig to a saved student. Knows no method by name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator

import torch

from engine.inheritance.attention_film import frame_events
from engine.methods.base import step_flops
from engine.settings.run_config import RunConfig
from engine.storage.runs import Run
from engine.training.finish import finish
from engine.training.processes import join_processes
from engine.training.schedule import Countdown
from engine.training.session import Event, Session
from engine.training.setup import set_up
from engine.training.step import work_of


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
    torch.manual_seed(config.seed)
    processes = join_processes()
    config = dataclasses.replace(config, processes=processes.size)  # a resumed run may have others than before
    session = yield from set_up(config, run, processes)
    if session is None:
        processes.leave()
        yield {"kind": "stopped", "message": "Stopped before the student's first step; resume begins again."}
        return
    if session.done == 0 and session.config.steps:  # without steps the student is scored as it is at the end, once
        yield from evaluate(session, filmed=False)
        yield from session.snapshot()
        yield from frame_events(session.film, session.learner.student, 0)
    yield from learn(session)
    yield from finish(session)


def learn(session: Session) -> Iterator[Event]:
    """The steps, one after the other, and what is told, scored and saved in between."""
    learner, meter, milestones = session.learner, session.meter, session.milestones
    meter.start()
    while session.done < session.config.steps and not session.stopped:
        config, step = session.config, session.done + 1

        # batch
        batch = session.data.batch(step - 1, config.batch, config.seed)
        parts = batch.split(session.processes.size * config.accumulate)
        flops = step_flops(
            learner.method, session.teacher.bert.shape, session.shape, work_of(parts), step, learner.student
        )

        # backward, the method's turn, optimizer
        losses, numbers = learner.step(batch, parts, step, clip=config.clip, rate=session.rate.at(step))
        session.done = step
        meter.count(losses, int(batch.visible.sum()), flops)
        if session.countdown is not None and move_end(session, session.countdown):
            milestones = session.milestones

        # tell
        telling = step % milestones.log_every == 0 or step == session.config.steps
        if telling or session.processes.size == 1:
            session.stopped = stop_requested(session)
        if telling:
            yield step_event(session, numbers)
            meter.told()

        # draw, evaluate, save
        meter.pause()
        if step in milestones.pictures:
            yield from session.snapshot()
        if step in milestones.evaluations and step < session.config.steps and not session.stopped:
            yield from evaluate(session, filmed=step in milestones.filmed)
        if step in milestones.checkpoints or session.stopped:
            yield session.save()
        meter.resume()


def move_end(session: Session, countdown: Countdown) -> bool:
    """Moves the run's last step to where its seconds end, as it looks by now; whether that is another one."""
    session.device.synchronize()
    end = countdown.end_after(session.done, *session.processes.broadcast([session.meter.training_seconds]))
    moved = end != session.config.steps
    if moved:
        session.move_end(session.done, end)
    return moved


def stop_requested(session: Session) -> bool:
    """Whether somebody asked the run to stop, before its end; all its processes agree."""
    return session.processes.broadcast_flag(session.run.stop_requested()) and session.done < session.config.steps


def step_event(session: Session, numbers: dict[str, float]) -> Event:
    """What is told of the steps since the last time; `numbers` are the method's. Waits for the device.

    Raises:
        TrainingError: the loss is not finite.
    """
    meter, step, steps = session.meter, session.done, session.config.steps
    losses = meter.mean_losses()
    if not all(map(math.isfinite, losses.values())):
        raise session.not_finite(f"The loss is no number any more at step {step:,}.")
    pace = meter.pace()
    return {
        "kind": "step",
        "step": step,
        "steps": steps,
        "loss": sum(losses.values()),
        "losses": losses,
        "numbers": numbers,
        "learning_rate": session.rate.at(step),
        **meter.spent,
        **pace,
        "seconds_left": pace["step_seconds"] * (steps - step),
        "seconds": meter.seconds,
    }


def evaluate(session: Session, *, filmed: bool) -> Iterator[Event]:
    """The student's score on what is held out and, if `filmed`, where it looks by now."""
    yield {"kind": "evaluation", "step": session.done, **session.finite_score(session.learner.student, "student")}
    if filmed:
        yield from frame_events(session.film, session.learner.student, session.done)
