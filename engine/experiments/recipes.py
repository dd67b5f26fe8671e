"""Whole experiments, from a teacher to a table of task scores, one registry line each.

Methods are compared at an equal budget: the same student, text, order, number of steps and seed. What was finished
before, with the same settings, is not done again.
"""

from __future__ import annotations

import datetime
import platform
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine.experiments.grid import NLTK_ENGLISH
from engine.experiments.outcome import Outcome, RowOutcome, summary
from engine.methods.registry import METHODS
from engine.settings.device import pick_device
from engine.settings.options import ConfigError
from engine.settings.run_config import RunConfig
from engine.sizing.cost import parameters
from engine.tasks import catalog as tasks
from engine.tasks.finetune import Recipe as FineTuning
from engine.tasks.scores import retained, score
from engine.teachers import catalog as teachers
from engine.teachers.catalog import open_model
from engine.training import find_or_run as once
from engine.training.find_or_run import Say
from engine.training.plan import plan


@dataclass(frozen=True)
class Experiment:
    """One experiment: who teaches, who learns, how each learns, and by what all are scored."""

    name: str
    title: str
    about: str
    teacher: str
    student: dict[str, Any]
    methods: tuple[str, ...]
    corpus: str
    steps: int
    batch: int
    tasks: tuple[str, ...]
    seeds: int = 3
    length: int = 64
    seed: int = 0  # of the compressions
    precision: str = "auto"
    device: str = "auto"
    probe: bool = False  # a linear probe instead of fine-tuning
    epochs: int = 2  # of fine-tuning
    lr: float = 1e-4  # of fine-tuning, at its peak
    limit: int = 0  # examples of a split at most; 0: all
    options: dict[str, dict[str, Any]] = field(default_factory=dict)  # method -> its options


RECIPES: dict[str, Experiment] = {
    recipe.name: recipe
    for recipe in (
        Experiment(
            "paper-small",
            "A real teacher halved",
            "minilm-early (22.7M) compressed to half its width by WID, by soft targets and from scratch.",
            "minilm-early",
            {"layers": 6, "hidden": 192, "heads": 12},
            ("wid", "soft_targets", "scratch"),
            NLTK_ENGLISH,
            1500,
            32,
            ("sentence_polarity", "qc"),
        ),
        Experiment(
            "microworld-small",
            "The microworld's teacher halved",
            "The same in the microworld, in minutes: 4 x 128 to 4 x 64, scored on grammaticality.",
            "microworld",
            {"layers": 4, "hidden": 64, "heads": 4},
            ("wid", "soft_targets", "scratch"),
            "microworld",
            400,
            64,
            ("grammar",),
        ),
    )
}


def find(name: str) -> Experiment:
    """The experiment called `name`.

    Raises:
        ConfigError: there is none.
    """
    if name not in RECIPES:
        raise ConfigError([f"There is no recipe {name[:60]!r}; choose one of {', '.join(RECIPES)}."])
    return RECIPES[name]


def changed(experiment: Experiment, **changes: Any) -> Experiment:
    """The experiment with those of `changes` that are not None."""
    return replace(experiment, **{name: value for name, value in changes.items() if value is not None})


def perform(experiment: Experiment, root: Path, say: Say) -> dict[str, Any]:
    """Trains and scores everything; `say` is told what is done now. The answer is plain values.

    Raises:
        ValueError: something of it cannot be run as asked, or a run ended without a student.
    """
    configs = {method: _config(experiment, method) for method in experiment.methods}
    found_tasks = [tasks.find(name) for name in experiment.tasks]
    for config in configs.values():
        plan(config, root)  # refuses all before one begins
    made = {method: once.done(config, root, method, say) for method, config in configs.items()}
    rows: dict[str, dict[str, Any]] = {"teacher": _teacher_row(experiment, root)}
    for method, run in made.items():
        card = run.card() or {}
        rows[method] = {
            "run": run.id,
            "parameters": card["parameters"],
            "encoder_parameters": card["encoder_parameters"],
            "masked_accuracy": card["scores"].get("masked_accuracy"),
            "masked_retained": card["scores"]["retained"] if "masked_accuracy" in card["scores"] else None,
            "seconds": card["seconds"],
            "tasks": {},
        }
    device = pick_device(experiment.device, experiment.precision)
    tuning = None if experiment.probe else FineTuning(epochs=experiment.epochs, lr=experiment.lr)
    answers: dict[str, dict[str, Any]] = {}
    for who, row in rows.items():
        model = open_model(row["run"], root)
        for task in found_tasks:
            say(f"{who} on {task.name}, {experiment.seeds} seeds")
            answer = score(model.bert, model.tokenizer, task, tuning, experiment.seeds, device, limit=experiment.limit)
            answers.setdefault(who, {})[task.name] = answer
            kept = retained(answer, answers["teacher"][task.name])
            row["tasks"][task.name] = {
                "metric": answer["metric"],
                **answer["scores"][answer["metric"]],
                "retained": kept["retained"],
                "retained_interval": kept["interval"],
                "baseline": answer["baseline"][answer["metric"]],
                "seconds": answer["seconds"],
            }
    first = next(iter(answers["teacher"].values()))
    return {
        "recipe": experiment.name,
        "about": experiment.about,
        "budget": {
            "steps": experiment.steps, "batch": experiment.batch, "length": experiment.length,
            "corpus": experiment.corpus, "seed": experiment.seed,
        },
        "fine_tuning": first["recipe"],
        "machine": f"{device.name}, {platform.machine()}",
        "versions": card["versions"],
        "models": rows,
    }  # fmt: skip


def _config(experiment: Experiment, method: str) -> RunConfig:
    return RunConfig(
        teacher=experiment.teacher,
        method=method,
        student=experiment.student,
        options=experiment.options.get(method, {}),
        corpus=experiment.corpus,
        steps=experiment.steps,
        batch=experiment.batch,
        length=experiment.length,
        seed=experiment.seed,
        device=experiment.device,
        precision=experiment.precision,
    )


def _teacher_row(experiment: Experiment, root: Path) -> dict[str, Any]:
    card = teachers.card(experiment.teacher, root)
    return {
        "run": experiment.teacher,
        "parameters": parameters(card.shape),
        "encoder_parameters": parameters(card.shape.replace(mlm_head=False)),
        "masked_accuracy": card.scores.get("masked_accuracy"),
        "masked_retained": 1.0,
        "seconds": 0.0,
        "tasks": {},
    }


def as_outcome(answer: dict[str, Any], command: str) -> Outcome:
    """The answer of `perform` as an outcome, for a page to show beside others."""
    first, rows = answer["models"]["teacher"], []
    for who, row in answer["models"].items():
        measured = {"masked_accuracy": [row["masked_accuracy"]], "retained": [row["masked_retained"]]}
        measured |= {name: found["values"] for name, found in row["tasks"].items()}
        seeds = max(map(len, measured.values()))
        rows.append(
            RowOutcome(
                who,
                METHODS[who].label if who in METHODS else who.capitalize(),
                "",
                "" if who == "teacher" else who,
                "",
                row["encoder_parameters"],  # what the tasks use
                {},
                tuple(range(seeds)),
                (row["run"],),
                {name: summary(values) for name, values in measured.items() if None not in values},
            )  # fmt: skip
        )
    card = {
        "command": command,
        "date": datetime.date.today().isoformat(),
        "seconds": round(sum(row["seconds"] for row in answer["models"].values()), 1),
        "machine": answer["machine"],
        "versions": answer["versions"],
        "settings": answer["budget"],
    }
    measures = (*first["tasks"], "retained", "masked_accuracy")
    nulls = {name: found["baseline"] for name, found in first["tasks"].items()}
    name, tuning = answer["recipe"], answer["fine_tuning"]
    how = f"fine-tuned at {tuning['lr']:g}" if "lr" in tuning else "by a probe"
    return Outcome(
        name, f"{find(name).title}, {how}", answer["about"], measures, tuple(rows), nulls, "", "", len(rows), card
    )  # fmt: skip


def table(answer: dict[str, Any]) -> str:
    """The answer of `perform` as a markdown table."""
    names = list(answer["models"]["teacher"]["tasks"])
    lines = [
        "| | encoder's parameters | masked accuracy, % | "
        + " | ".join(f"{name}, % | retained, %" for name in names)
        + " |",
        "|---|--:|--:|" + "--:|--:|" * len(names),
    ]
    for who, row in answer["models"].items():
        cells = [who, f"{row['encoder_parameters']:,}", _percent(row["masked_accuracy"], None)]
        for name in names:
            task = row["tasks"][name]
            cells += [_percent(task["mean"], task["interval"]), _percent(task["retained"], task["retained_interval"])]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _percent(value: float | None, width: float | None) -> str:
    if value is None:
        return ""
    return f"{100 * value:.1f}" + ("" if width is None else f" ± {100 * width:.1f}")
