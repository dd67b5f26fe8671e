"""The verb recipe: a whole experiment, its progress on stderr, its table or JSON on stdout.

Two kinds of experiments have a name here: grids (rows times seeds) and recipes whose students are scored on tasks.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from engine.cli.arguments import add_flags, add_runs_folder, given_values
from engine.experiments.albert_tables import ALBERT_TABLES
from engine.experiments.family import FAMILY, FAMILY_ENGLISH
from engine.experiments.grid import Grid
from engine.settings.options import ConfigError
from engine.settings.project import WORKPLACE
from engine.storage.cache import digest

if TYPE_CHECKING:
    from engine.experiments.outcome import Outcome

GRIDS: dict[str, Grid] = {grid.name: grid for grid in (FAMILY, FAMILY_ENGLISH, *ALBERT_TABLES)}
TASK_SETTINGS = ("tasks", "epochs", "lr", "limit", "probe")  # what only experiments that score on tasks have
NAMES = {"teacher": "another teacher", "corpus": "another text", "tasks": "other tasks: NAME,NAME"}
NUMBERS = {name: f"other {name} than the recipe's" for name in ("steps", "batch", "seeds", "epochs", "limit")}
OVERRIDES = (*NAMES, *NUMBERS, "lr", "precision")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb. Names of experiments come from their lists."""
    from engine.experiments.recipes import RECIPES

    add_runs_folder(parser)
    parser.add_argument("name", help=", ".join([*GRIDS, *RECIPES]))
    parser.add_argument(
        "--save",
        nargs="?",
        type=Path,
        const=WORKPLACE / "assets" / "experiments",
        metavar="DIR",
        help="write what came out into this folder, too (default: assets/experiments)",
    )
    add_flags(parser, str, NAMES)
    add_flags(parser, int, NUMBERS)
    parser.add_argument("--lr", type=float, help="another peak learning rate of fine-tuning")
    parser.add_argument("--precision", help="auto, float32 or bfloat16")
    parser.add_argument("--probe", action="store_true", help="a linear probe instead of fine-tuning")


def run(arguments: argparse.Namespace) -> None:
    """Does the experiment that the command line names, with what it changes, and keeps what came out.

    Raises:
        ValueError: it cannot be done as asked.
    """
    from engine.experiments.recipes import (
        RECIPES,
        find_recipe,
        recipe_markdown,
        recipe_outcome,
        run_recipe,
        with_changes,
    )

    if arguments.name in GRIDS:
        _run_grid(GRIDS[arguments.name], arguments)
        return
    if arguments.name not in RECIPES:
        raise ConfigError(
            [f"There is no recipe {arguments.name[:60]!r}; choose one of {', '.join([*GRIDS, *RECIPES])}."]
        )
    experiment = with_changes(
        find_recipe(arguments.name),
        teacher=arguments.teacher,
        corpus=arguments.corpus,
        steps=arguments.steps,
        batch=arguments.batch,
        seeds=arguments.seeds,
        epochs=arguments.epochs,
        limit=arguments.limit,
        lr=arguments.lr,
        precision=arguments.precision,
        probe=arguments.probe or None,
        tasks=tuple(arguments.tasks.split(",")) if arguments.tasks else None,
    )
    for name in ("seeds", "epochs"):
        if getattr(experiment, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(experiment, name)}.")
    answer = run_recipe(experiment, arguments.runs, _say)
    as_published = experiment == find_recipe(arguments.name)
    outcome = _named(recipe_outcome(answer, _command(arguments)), as_published, dataclasses.asdict(experiment))
    _write(outcome, _outcomes_folder(arguments))
    if arguments.save:
        _write(outcome, arguments.save)
    print(json.dumps(answer) if arguments.json else f"{answer['about']}\n\n{recipe_markdown(answer)}")


def _run_grid(original: Grid, arguments: argparse.Namespace) -> None:
    from engine.experiments.grid_runs import run_grid
    from engine.experiments.outcome_table import outcome_markdown

    useless = [f"--{name}" for name in TASK_SETTINGS if getattr(arguments, name)]
    if useless:
        raise ConfigError([f"The recipe {original.name} has no {', '.join(useless)}; leave that out."])
    grid = original.with_changes(
        arguments.seeds,
        teacher=arguments.teacher,
        corpus=arguments.corpus,
        steps=arguments.steps,
        batch=arguments.batch,
        precision=arguments.precision,
    )
    settings = {**grid.settings, "seeds": grid.seeds}

    def keep(outcome: Outcome) -> None:
        _write(_named(outcome, grid == original, settings), _outcomes_folder(arguments), quiet=True)

    outcome = run_grid(grid, arguments.runs, _say, _command(arguments), keep)
    if arguments.save:
        _write(_named(outcome, grid == original, settings), arguments.save)
    print(json.dumps(dataclasses.asdict(outcome)) if arguments.json else outcome_markdown(outcome))


def _named(outcome: Outcome, as_published: bool, settings: dict[str, object]) -> Outcome:
    """The outcome; one of other settings than the recipe's gets a name of its own."""
    return outcome if as_published else dataclasses.replace(outcome, name=f"{outcome.name}-{digest(settings)[:6]}")


def _command(arguments: argparse.Namespace) -> str:
    """What a person types to have the same again; folders are theirs to choose."""
    words = [f"python -m engine recipe {arguments.name}"]
    words += [f"--{name} {value}" for name, value in given_values(arguments, OVERRIDES).items()]
    return " ".join([*words, *(["--probe"] if arguments.probe else []), "--save"])


def _outcomes_folder(arguments: argparse.Namespace) -> Path:
    """Where outcomes are kept beside the runs that they were made of."""
    from engine.experiments.outcome import FOLDER

    return arguments.runs / FOLDER


def _write(outcome: Outcome, folder: Path, quiet: bool = False) -> None:
    from engine.experiments.outcome import write_outcome

    try:
        path = write_outcome(outcome, folder)
    except OSError as error:
        raise ValueError(f"The outcome could not be written into {folder}: {error.strerror}.") from error
    if not quiet:
        _say(f"kept as {path.name}")


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
