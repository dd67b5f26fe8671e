"""A grid carried out: its runs, found again or made now, measured, and put together as an outcome.

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

from engine.experiments.grid import PROBE_TASKS, Grid, Row
from engine.experiments.outcome import Outcome, RowOutcome, Summary, differences_from_base, summarise
from engine.learning.masked_lm import masked_lm_score
from engine.methods.registry import find as find_method
from engine.model.bert import Bert
from engine.model.saved_models import Model, load_model
from engine.settings.device import Device, pick_device
from engine.settings.options import parse_options
from engine.sizing.cost import parameters
from engine.storage.runs import Run
from engine.tasks.catalog import find_task
from engine.tasks.cross_task import cross_task_accuracies, untrained_copy
from engine.tasks.scores import score_task
from engine.teachers.catalog import load_teacher
from engine.text.corpora import open_corpus
from engine.text.sentence_pairs import PairCorpus, open_text
from engine.training import find_or_run
from engine.training.find_or_run import Announce
from engine.training.plan import plan

CROSS_TASK = ("mlm", "nsp", "sop")
MeasuredSeeds = dict[str, dict[int, dict[str, float]]]  # row -> seed -> measure -> value


def run_grid(grid: Grid, root: Path, say: Announce, command: str, keep: Callable[[Outcome], None]) -> Outcome:
    """Trains and measures every row of `grid` with every seed; `keep` gets what there is after each run.

    `command`: what a person types to have the same again.

    Raises:
        ValueError: something of it cannot be run as asked, or a run ended without a student.
    """
    configs = {(row.name, seed): grid.config(row, seed) for seed in range(grid.seeds) for row in grid.rows}
    for config in configs.values():
        plan(config, root)  # refuses all before one begins
    measured: MeasuredSeeds = {row.name: {} for row in grid.rows}
    made: dict[tuple[str, int], Run] = {}
    shapes: dict[str, dict[str, Any]] = {}
    device = pick_device(
        grid.settings.get("device", "auto"), "float32"
    )  # measuring is cheap, and should not depend on it
    seconds = 0.0
    nulls: dict[str, float] = {}
    teacher = _teacher_row(grid, root, device, say) if grid.with_teacher else None
    outcome = grid_outcome(grid, measured, made, shapes, nulls, {}, teacher)
    for (name, seed), config in configs.items():
        run = find_or_run.find_or_run(config, root, f"{name}, seed {seed}", say)
        card, model = run.card() or {}, load_model(run.student_dir)
        made[name, seed], seconds = run, seconds + float(card["seconds"])
        shapes.setdefault(name, card["shape"])
        measured[name][seed] = measure_run(grid, run, card, model, device)
        nulls = nulls or _nulls(grid, model, card, device)
        how_made = {
            "command": command,
            "date": datetime.date.today().isoformat(),
            "seconds": round(seconds, 1),
            "machine": f"{card['device_name']}, {platform.machine()}",
            "versions": card["versions"],
            "settings": dict(grid.settings),
        }
        outcome = grid_outcome(grid, measured, made, shapes, nulls, how_made, teacher)
        keep(outcome)
    return outcome


def measure_run(grid: Grid, run: Run, card: dict[str, Any], model: Model, device: Device) -> dict[str, float]:
    """What the grid wants to know of one finished run, and what it cost."""
    scores = card["scores"]
    found: dict[str, float] = {}
    if "masked_accuracy" in scores:  # a task's student is asked for no word, and what it retains is of that task
        found = {name: float(scores[name]) for name in ("masked_accuracy", "retained")}
    if scores.get("pair_accuracy") is not None:
        found["pair_accuracy"] = float(scores["pair_accuracy"])
    found |= _probe_scores(grid, model, device)
    if set(CROSS_TASK) & set(grid.measures):
        length = min(int(card["length"]), model.bert.shape.positions)
        found |= cross_task_accuracies(model.bert, model.tokenizer, card["corpus"], length, device)
    for name in ("flops", "tokens"):  # of training, where the card counts them
        if isinstance(card.get(name), int | float):
            found[name] = float(card[name])
    if grid.timed:
        found["seconds"] = find_or_run.step_seconds(run) or 0.0
    return found


def _tasks_to_probe(grid: Grid) -> list[str]:
    return [name for name in PROBE_TASKS if name in grid.measures]


def _probe_scores(grid: Grid, model: Model, device: Device) -> dict[str, float]:
    """What a linear probe on the model's frozen states scores, for each task of the grid."""
    found = {}
    for name in _tasks_to_probe(grid):
        answer = score_task(model.bert, model.tokenizer, find_task(name), None, 1, device)
        found[name] = float(answer["scores"][answer["metric"]]["mean"])
    return found


def grid_outcome(
    grid: Grid,
    measured: MeasuredSeeds,
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
            rows[row.name] = _row_outcome(grid, row, measured[row.name], made, shapes[row.name])
    for name, one in rows.items():
        if one.base in rows:
            rows[name] = replace(one, differences=differences_from_base(one, rows[one.base]))
    return Outcome(
        grid.name, grid.title, grid.about, grid.measures, tuple(rows.values()), nulls, grid.paper, grid.paper_score,
        len(grid.rows) * grid.seeds, card,
    )  # fmt: skip


def _row_outcome(
    grid: Grid, row: Row, seen: dict[int, dict[str, float]], made: dict[tuple[str, int], Run], shape: dict[str, Any]
) -> RowOutcome:
    seeds = sorted(seen)
    names = [name for name in seen[seeds[0]] if all(name in seen[seed] for seed in seeds)]
    summaries: dict[str, Summary] = {name: summarise([seen[seed][name] for seed in seeds]) for name in names}
    card = made[row.name, seeds[0]].card() or {}
    return RowOutcome(
        row.name, row.label, row.series, card["method"], row.note, int(card["parameters"]), shape,
        tuple(seeds), tuple(made[row.name, seed].id for seed in seeds), summaries, row.base, {},
        row.paper, row.paper_parameters,
    )  # fmt: skip


def _teacher_row(grid: Grid, root: Path, device: Device, say: Announce) -> RowOutcome:
    """The teacher as a row without runs; it keeps all of itself."""
    say("teacher: scored")
    found = load_teacher(str(grid.settings["teacher"]), root)
    length = min(int(grid.settings.get("length", 64)), found.bert.shape.positions)
    bert, corpus = found.bert.to(device.type), str(grid.settings.get("corpus", found.card.corpus))
    text = open_corpus(corpus, found.tokenizer, length, 64)
    values = {"retained": 1.0, "masked_accuracy": masked_lm_score(bert, text, device)["accuracy"]}
    values |= _probe_scores(grid, Model(bert, found.tokenizer, {}), device)
    return RowOutcome(
        "teacher", "Teacher", "", "", found.card.about, parameters(bert.shape), bert.shape.to_json(), (0,), (),
        {name: summarise([value]) for name, value in values.items()},
    )  # fmt: skip


def _nulls(grid: Grid, model: Model, card: dict[str, Any], device: Device) -> dict[str, float]:
    """What one gets for nothing: always the commonest answer, and what is read out of random weights."""
    length = min(int(card["length"]), model.bert.shape.positions)
    kind = find_method(card["method"])
    pairs = kind(parse_options(kind.Options, card["options"]), int(card["steps"])).task.pairs
    text = open_text(card["corpus"], model.tokenizer, length, 64, pairs)
    found = {"masked_accuracy": _commonest_share(batch.targets.numpy() for batch in text.held_out_batches())}
    if isinstance(text, PairCorpus):
        found["pair_accuracy"] = _commonest_share(batch.labels.numpy() for batch in text.held_out_batches())
    for name in _tasks_to_probe(grid):
        task = find_task(name)
        found[name] = float(task.baseline(task.load())[task.metrics[0]])
    if set(CROSS_TASK) & set(grid.measures):
        blank: Bert = untrained_copy(model.bert, 0)
        found |= cross_task_accuracies(blank, model.tokenizer, card["corpus"], length, device)
        rows = open_corpus(card["corpus"], model.tokenizer, length, 64)
        found["mlm"] = _commonest_share(batch.targets.numpy() for batch in rows.held_out_batches())
    return found


def _commonest_share(parts: Iterator[np.ndarray]) -> float:
    """The share (0-1) that is right when the commonest answer is given always."""
    counts = np.bincount(np.concatenate(list(parts)))
    return float(counts.max() / counts.sum())
