"""Recipes: whole experiments, from a teacher through its students to a table of task scores, one entry each.

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
from engine.experiments.outcome import Outcome, RowOutcome, Summary, summarise
from engine.experiments.outcome_table import percent
from engine.methods.registry import METHODS
from engine.settings.device import pick_device
from engine.settings.options import ConfigError
from engine.settings.run_config import RunConfig
from engine.sizing.cost import parameters
from engine.tasks.catalog import find_task
from engine.tasks.finetune import FineTuneRecipe
from engine.tasks.scores import retained_score, score_task
from engine.teachers.catalog import open_model, teacher_card
from engine.training import find_or_run
from engine.training.find_or_run import Announce
from engine.training.plan import plan


@dataclass(frozen=True)
class Recipe:
    """One whole experiment: who teaches, who learns, how each learns, and by what all are scored."""

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


RECIPES: dict[str, Recipe] = {
    recipe.name: recipe
    for recipe in (
        Recipe(
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
        Recipe(
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


def find_recipe(name: str) -> Recipe:
    """The recipe called `name`.

    Raises:
        ConfigError: there is none.
    """
    if name not in RECIPES:
        raise ConfigError([f"There is no recipe {name[:60]!r}; choose one of {', '.join(RECIPES)}."])
    return RECIPES[name]


def with_changes(recipe: Recipe, **changes: Any) -> Recipe:
    """The recipe with those of `changes` that are not None."""
    return replace(recipe, **{name: value for name, value in changes.items() if value is not None})


def run_recipe(recipe: Recipe, root: Path, say: Announce) -> dict[str, Any]:
    """Trains and scores everything; `say` is told what is done now. The answer is plain values.

    Raises:
        ValueError: something of it cannot be run as asked, or a run ended without a student.
    """
    configs = {method: _run_config(recipe, method) for method in recipe.methods}
    found_tasks = [find_task(name) for name in recipe.tasks]
    for config in configs.values():
        plan(config, root)  # refuses all before one begins
    made = {method: find_or_run.find_or_run(config, root, method, say) for method, config in configs.items()}
    rows: dict[str, dict[str, Any]] = {"teacher": _teacher_row(recipe, root)}
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
    device = pick_device(recipe.device, recipe.precision)
    tuning = None if recipe.probe else FineTuneRecipe(epochs=recipe.epochs, lr=recipe.lr)
    answers: dict[str, dict[str, Any]] = {}
    for who, row in rows.items():
        model = open_model(row["run"], root)
        for task in found_tasks:
            say(f"{who} on {task.name}, {recipe.seeds} seeds")
            answer = score_task(model.bert, model.tokenizer, task, tuning, recipe.seeds, device, limit=recipe.limit)
            answers.setdefault(who, {})[task.name] = answer
            kept = retained_score(answer, answers["teacher"][task.name])
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
        "recipe": recipe.name,
        "about": recipe.about,
        "budget": {
            "steps": recipe.steps, "batch": recipe.batch, "length": recipe.length,
            "corpus": recipe.corpus, "seed": recipe.seed,
        },
        "fine_tuning": first["recipe"],
        "machine": f"{device.name}, {platform.machine()}",
        "versions": card["versions"],
        "models": rows,
    }  # fmt: skip


def _run_config(recipe: Recipe, method: str) -> RunConfig:
    return RunConfig(
        teacher=recipe.teacher,
        method=method,
        student=recipe.student,
        options=recipe.options.get(method, {}),
        corpus=recipe.corpus,
        steps=recipe.steps,
        batch=recipe.batch,
        length=recipe.length,
        seed=recipe.seed,
        device=recipe.device,
        precision=recipe.precision,
    )


def _teacher_row(recipe: Recipe, root: Path) -> dict[str, Any]:
    card = teacher_card(recipe.teacher, root)
    return {
        "run": recipe.teacher,
        "parameters": parameters(card.shape),
        "encoder_parameters": parameters(card.shape.replace(mlm_head=False)),
        "masked_accuracy": card.scores.get("masked_accuracy"),
        "masked_retained": 1.0,
        "seconds": 0.0,
        "tasks": {},
    }


def recipe_outcome(answer: dict[str, Any], command: str) -> Outcome:
    """The answer of `run_recipe` as an outcome, for a page to show beside others."""
    first, rows = answer["models"]["teacher"], []
    for who, row in answer["models"].items():
        measured = {"masked_accuracy": [row["masked_accuracy"]], "retained": [row["masked_retained"]]}
        measured |= {name: found["values"] for name, found in row["tasks"].items()}
        seeds = max(map(len, measured.values()))
        rows.append(
            RowOutcome(
                who,
                METHODS[who].about.label if who in METHODS else who.capitalize(),
                "",
                "" if who == "teacher" else who,
                "",
                row["encoder_parameters"],  # what the tasks use
                {},
                tuple(range(seeds)),
                (row["run"],),
                {name: summarise(values) for name, values in measured.items() if None not in values},
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
    title = f"{find_recipe(name).title}, {how}"
    return Outcome(name, title, answer["about"], measures, tuple(rows), nulls, "", "", len(rows), card)


def recipe_markdown(answer: dict[str, Any]) -> str:
    """The answer of `run_recipe` as a markdown table."""
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
    return percent(None if value is None else Summary(value, width, (value,)))
