"""The training loop: a generator of events, from a RunConfig to a saved student. Knows no method by name."""

from __future__ import annotations

import dataclasses
import math
import platform
import time
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import version
from typing import Any

import torch

import engine
from engine import methods, teachers
from engine.bert import Bert
from engine.checkpoints import load_checkpoint, restore_parameters, save_checkpoint, save_model
from engine.config import RunConfig, read_options
from engine.corpora import find_corpus, open_corpus
from engine.cost import parameters
from engine.device import Device, pick
from engine.evaluate import masked_lm_score
from engine.methods import Method
from engine.runs import Run, write_json
from engine.shape import Shape

LEAST_BETWEEN_EVALUATIONS = 10  # steps

Event = dict[str, Any]


class TrainingError(ValueError):
    """A run that went wrong in a way that other settings can mend, in one sentence."""


@dataclass(frozen=True)
class Plan:
    """A config understood: everything that can be known and refused before any weight is loaded."""

    method: Method
    teacher: teachers.Card
    shape: Shape  # the student's
    corpus: str
    device: Device


def plan(config: RunConfig) -> Plan:
    """What `config` asks for.

    Raises:
        ValueError: (ConfigError, ShapeError, TeacherError, CorpusError) it cannot be run as asked.
    """
    kind = methods.find(config.method)
    method = kind(read_options(kind.Options, config.options), config.steps)
    card = teachers.card(config.teacher)
    corpus = card.corpus if config.corpus == "auto" else config.corpus
    find_corpus(corpus)  # refuses a corpus that is not there
    return Plan(method, card, method.student_shape(card.shape, config.student), corpus, pick(config.device))


def train(config: RunConfig, run: Run) -> Iterator[Event]:
    """Runs `config` in the folder `run`, continuing from its checkpoint if it has one.

    Yields events with a "kind": prepare, start, teacher, step, evaluation, checkpoint, and at last finished or stopped.
    A stop request in the run's folder is honoured after the step in progress.

    Raises:
        ValueError: (ConfigError, ShapeError, TeacherError, CorpusError, CheckpointError, TrainingError) it cannot be
            run as asked.
    """
    began = time.perf_counter()
    torch.manual_seed(config.seed)

    # who learns what from whom
    planned = plan(config)
    method, shape, device = planned.method, planned.shape, planned.device
    yield {"kind": "prepare", "message": f"Loading the teacher {planned.teacher.label}"}
    teacher = teachers.load(config.teacher)
    length = min(config.length, shape.positions)
    yield {"kind": "prepare", "message": f"Reading the corpus {planned.corpus}"}
    rows = max(1, config.steps) * config.batch
    corpus = open_corpus(planned.corpus, teacher.tokenizer, length, rows)
    teacher_bert = teacher.bert.to(device.type).eval().requires_grad_(False)
    student = method.prepare(teacher.bert, shape, config.seed)
    student.requires_grad_(True)

    # where an earlier process left off
    saved = load_checkpoint(run.checkpoints_dir)
    if saved:
        restore_parameters(student, saved["student"])
    student.to(device.type).train()
    optimizer = method.optimizer(student)
    base_rates = [group["lr"] for group in optimizer.param_groups]
    done = 0
    if saved:
        method.restore(student, saved["extra"]["method"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["random"])
        done = saved["step"]

    yield {
        "kind": "start",
        "step": done,
        "steps": config.steps,
        "device": device.type,
        "device_name": device.name,
        "precision": "bfloat16 products, float32 weights" if device.mixed_precision else "float32",
        "numbers_title": method.numbers_title,
        "numbers_unit": method.numbers_unit,
        "corpus": planned.corpus,
        "rows": len(corpus.rows),
        "teacher_shape": planned.teacher.shape.to_json(),
        "student_shape": shape.to_json(),
        "teacher_parameters": parameters(teacher.bert.shape),
        "student_parameters": parameters(shape),
        "training_parameters": sum(p.numel() for p in student.parameters()),
    }
    teacher_score = masked_lm_score(teacher_bert, corpus, device)
    yield {"kind": "teacher", **teacher_score}
    if not saved:
        yield {"kind": "evaluation", "step": 0, **masked_lm_score(student, corpus, device)}

    # the steps
    log_every = min(20, max(1, config.steps // 200))
    evaluations = _spread(config.steps, config.evaluations, LEAST_BETWEEN_EVALUATIONS)
    checkpoints = _spread(config.steps, config.checkpoints, 1)
    fresh: dict[str, Any] = {"losses": {}, "tokens": 0, "steps": 0}  # since the last step event
    window = saved["extra"]["window"] if saved else fresh
    since, since_step, stopped = time.perf_counter(), done, False
    for step in range(done + 1, config.steps + 1):
        batch = corpus.batch(step - 1, config.batch, config.seed)
        window["tokens"] += int(batch.visible.sum())
        batch = batch.to(device.type)

        with device.autocast():
            losses = method.losses(student, teacher_bert, batch)
        optimizer.zero_grad(set_to_none=True)
        torch.stack(list(losses.values())).sum().backward()
        numbers = method.after_backward(student, optimizer, step)
        torch.nn.utils.clip_grad_norm_(student.parameters(), config.clip)
        for group, rate in zip(optimizer.param_groups, base_rates, strict=True):
            group["lr"] = rate * learning_rate_factor(step, config.steps, config.warmup)
        optimizer.step()
        done = step

        for name, value in losses.items():
            window["losses"][name] = window["losses"].get(name, 0.0) + value.detach()
        window["steps"] += 1
        stopped = step < config.steps and run.stop_requested()
        if step % log_every == 0 or step == config.steps:
            means = {name: float(total) / window["steps"] for name, total in window["losses"].items()}  # device sync
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
        if step in evaluations and step < config.steps and not stopped:
            yield {"kind": "evaluation", "step": step, **masked_lm_score(student, corpus, device)}
        if step in checkpoints or stopped:
            extra = {"method": method.state(student), "window": window}
            save_checkpoint(run.checkpoints_dir, step, student, optimizer, extra)
            yield {"kind": "checkpoint", "step": step}
        since += time.perf_counter() - pause  # what was not a step does not count as one
        if stopped:
            break

    # the student
    yield {"kind": "prepare", "message": "Folding and scoring the student"}
    bert = method.finish(student).to(device.type).eval()
    score = masked_lm_score(bert, corpus, device)
    yield {"kind": "evaluation", "step": done, **score}
    student_card = _card(config, method.options, run, bert, planned.corpus, done, teacher_score, score)
    student_card |= {
        "device": device.type,
        "device_name": device.name,
        "teacher_parameters": parameters(teacher.bert.shape),
        "seconds": round(time.perf_counter() - began, 2),
    }
    save_model(run.student_dir, bert, teacher.tokenizer, student_card)
    write_json(run.card_path, student_card)
    yield {"kind": "stopped" if stopped else "finished", "step": done, "card": student_card}


def learning_rate_factor(step: int, steps: int, warmup: float) -> float:
    """Share of the peak learning rate at `step` (from 1): a straight rise over `warmup`, then a straight fall."""
    rise = warmup * steps
    return min(step / rise if rise else 1.0, (steps - step + 1) / max(1.0, steps - rise), 1.0)


def _spread(steps: int, times: int, least: int) -> set[int]:
    """At most `times` steps, evenly over the run, at least `least` apart, the last step always among them."""
    times = max(1, min(times, steps // max(1, least)))
    return {round(steps * (index + 1) / times) for index in range(times)}


def _card(
    config: RunConfig,
    options: Any,
    run: Run,
    bert: Bert,
    corpus: str,
    step: int,
    teacher: dict[str, float],
    student: dict[str, float],
) -> dict[str, Any]:
    """Everything that explains a student: how it was made and how good it is."""
    return {
        **{name: value for name, value in config.to_json().items() if name not in ("device", "student")},
        "options": dataclasses.asdict(options),
        "id": run.id,
        "corpus": corpus,
        "steps_done": step,
        "complete": step == config.steps,
        "shape": bert.shape.to_json(),
        "parameters": parameters(bert.shape),
        "encoder_parameters": parameters(bert.shape.replace(mlm_head=False)),
        "scores": {
            "masked_accuracy": student["accuracy"],
            "masked_loss": student["loss"],
            "teacher_masked_accuracy": teacher["accuracy"],
            "teacher_masked_loss": teacher["loss"],
            "retained": student["accuracy"] / teacher["accuracy"] if teacher["accuracy"] else 0.0,
        },
        "versions": {
            "heirloom": engine.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": version("transformers"),
        },
    }
