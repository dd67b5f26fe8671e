"""A grid done: its runs, found again or made now, measured, and put together as an outcome.

Seeds are the outer loop, so that what is there when the work is interrupted is as many whole tables as there was time
for. The outcome is written after each run.
"""

from __future__ import annotations

import datetime
import platform
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from engine.experiments.grid import PROBED, Grid, Row
from engine.experiments.outcome import Outcome, RowOutcome, Summary, difference, summary
from engine.learning.masked_lm import masked_lm_score
from engine.methods.registry import find as find_method
from engine.model.bert import Bert
from engine.model.saved_models import Model, load_model
from engine.settings.device import Device, pick_device
from engine.settings.options import parse_options
from engine.sizing.cost import parameters
from engine.storage.runs import Run
from engine.tasks import catalog as tasks
from engine.tasks.cross_task import cross_task, untrained
from engine.tasks.scores import score
from engine.teachers import catalog as teachers
from engine.text.corpora import open_corpus
from engine.text.sentence_pairs import PairCorpus, open_text
from engine.training import find_or_run as once
from engine.training.find_or_run import Say
from engine.training.plan import plan

CROSS_TASK = ("mlm", "nsp", "sop")
Measured = dict[str, dict[int, dict[str, float]]]  # row -> seed -> measure -> value


def perform(grid: Grid, root: Path, say: Say, command: str, keep: Callable[[Outcome], None]) -> Outcome:
    """Trains and measures every row of `grid` with every seed; `keep` gets what there is after each run.

    `command`: what a person types to have the same again.

    Raises:
        ValueError: something of it cannot be run as asked, or a run ended without a student.
    """
    configs = {(row.name, seed): grid.config(row, seed) for seed in range(grid.seeds) for row in grid.rows}
    for config in configs.values():
        plan(config, root)  # refuses all before one begins
    measured: Measured = {row.name: {} for row in grid.rows}
    made: dict[tuple[str, int], Run] = {}
    shapes: dict[str, dict[str, Any]] = {}
    # measuring is cheap, and should not depend on the precision
    device = pick_device(grid.settings.get("device", "auto"), "float32")
    seconds = 0.0
    nulls: dict[str, float] = {}
    teacher = _teacher(grid, root, device, say) if grid.with_teacher else None
    made_now = outcome_of(grid, measured, made, shapes, nulls, {}, teacher)
    for (name, seed), config in configs.items():
        run = once.done(config, root, f"{name}, seed {seed}", say)
        card, model = run.card() or {}, load_model(run.student_dir)
        made[name, seed], seconds = run, seconds + float(card["seconds"])
        shapes.setdefault(name, card["shape"])
        measured[name][seed] = measure(grid, run, card, model, device)
        nulls = nulls or _nulls(grid, model, card, device)
        told = {
            "command": command,
            "date": datetime.date.today().isoformat(),
            "seconds": round(seconds, 1),
            "machine": f"{card['device_name']}, {platform.machine()}",
            "versions": card["versions"],
            "settings": dict(grid.settings),
        }
        made_now = outcome_of(grid, measured, made, shapes, nulls, told, teacher)
        keep(made_now)
    return made_now


def measure(grid: Grid, run: Run, card: dict[str, Any], model: Model, device: Device) -> dict[str, float]:
    """What the grid wants to know of one finished run, and what it cost."""
    scores = card["scores"]
    found: dict[str, float] = {}
    if (
        "masked_accuracy" in scores
    ):  # a student of a task is never asked for a word, and what it retains is of that task
        found = {name: float(scores[name]) for name in ("masked_accuracy", "retained")}
    if scores.get("pair_accuracy") is not None:
        found["pair_accuracy"] = float(scores["pair_accuracy"])
    found |= _probed(grid, model, device)
    if set(CROSS_TASK) & set(grid.measures):
        length = min(int(card["length"]), model.bert.shape.positions)
        found |= cross_task(model.bert, model.tokenizer, card["corpus"], length, device)
    for name in ("flops", "tokens"):  # of training, where the card counts them
        if isinstance(card.get(name), int | float):
            found[name] = float(card[name])
    if grid.timed:
        found["seconds"] = once.step_seconds(run) or 0.0
    return found


def _tasks(grid: Grid) -> list[str]:
    return [name for name in PROBED if name in grid.measures]


def _probed(grid: Grid, model: Model, device: Device) -> dict[str, float]:
    """What a linear probe on the model's frozen states scores, for each task of the grid."""
    found = {}
    for name in _tasks(grid):
        answer = score(model.bert, model.tokenizer, tasks.find(name), None, 1, device)
        found[name] = float(answer["scores"][answer["metric"]]["mean"])
    return found


def outcome_of(
    grid: Grid,
    measured: Measured,
    made: dict[tuple[str, int], Run],
    shapes: dict[str, dict[str, Any]],
    nulls: dict[str, float],
    card: dict[str, Any],
    teacher: RowOutcome | None = None,
) -> Outcome:
    """The outcome of what was measured so far; rows without a run are left out. `teacher`: a row to stand above."""
    rows: dict[str, RowOutcome] = {teacher.name: teacher} if teacher else {}
    for row in grid.rows:
        if measured[row.name]:
            rows[row.name] = _row(grid, row, measured[row.name], made, shapes[row.name])
    for name, one in rows.items():
        if one.base in rows:
            rows[name] = replace(one, differences=difference(one, rows[one.base]))
    return Outcome(
        grid.name, grid.title, grid.about, grid.measures, tuple(rows.values()), nulls, grid.paper, grid.paper_score,
        len(grid.rows) * grid.seeds, card,
    )  # fmt: skip


def _row(
    grid: Grid, row: Row, seen: dict[int, dict[str, float]], made: dict[tuple[str, int], Run], shape: dict[str, Any]
) -> RowOutcome:
    seeds = sorted(seen)
    names = [name for name in seen[seeds[0]] if all(name in seen[seed] for seed in seeds)]
    summaries: dict[str, Summary] = {name: summary([seen[seed][name] for seed in seeds]) for name in names}
    card = made[row.name, seeds[0]].card() or {}
    return RowOutcome(
        row.name, row.label, row.series, find_method(card["method"]).name, row.note, int(card["parameters"]), shape,
        tuple(seeds), tuple(made[row.name, seed].id for seed in seeds), summaries, row.base, {}, row.paper, row.said,
    )  # fmt: skip


def _teacher(grid: Grid, root: Path, device: Device, say: Say) -> RowOutcome:
    """The teacher as a row without runs; it keeps all of itself."""
    say("teacher: scored")
    found = teachers.load(str(grid.settings["teacher"]), root)
    length = min(int(grid.settings.get("length", 64)), found.bert.shape.positions)
    bert, corpus = found.bert.to(device.type), str(grid.settings.get("corpus", found.card.corpus))
    text = open_corpus(corpus, found.tokenizer, length, 64)
    values = {"retained": 1.0, "masked_accuracy": masked_lm_score(bert, text, device)["accuracy"]}
    values |= _probed(grid, Model(bert, found.tokenizer, {}), device)
    return RowOutcome(
        "teacher", "Teacher", "", "", found.card.about, parameters(bert.shape), bert.shape.to_json(), (0,), (),
        {name: summary([value]) for name, value in values.items()},
    )  # fmt: skip


def _nulls(grid: Grid, model: Model, card: dict[str, Any], device: Device) -> dict[str, float]:
    """What one gets for nothing: always the commonest answer, and what is read out of random weights."""
    length = min(int(card["length"]), model.bert.shape.positions)
    kind = find_method(card["method"])
    pairs = kind(parse_options(kind.Options, card["options"]), int(card["steps"])).pairs
    text = open_text(card["corpus"], model.tokenizer, length, 64, pairs)
    found = {"masked_accuracy": _commonest(batch.targets.numpy() for batch in text.held_out_batches())}
    if isinstance(text, PairCorpus):
        found["pair_accuracy"] = _commonest(batch.labels.numpy() for batch in text.held_out_batches())
    for name in _tasks(grid):
        task = tasks.find(name)
        found[name] = float(task.baseline(task.load())[task.metrics[0]])
    if set(CROSS_TASK) & set(grid.measures):
        blank: Bert = untrained(model.bert, 0)
        found |= cross_task(blank, model.tokenizer, card["corpus"], length, device)
        rows = open_corpus(card["corpus"], model.tokenizer, length, 64)
        found["mlm"] = _commonest(batch.targets.numpy() for batch in rows.held_out_batches())
    return found


def _commonest(parts: Iterator[np.ndarray]) -> float:
    """The share (0-1) that is right when the commonest answer is given always."""
    counts = np.bincount(np.concatenate(list(parts)))
    return float(counts.max() / counts.sum())
