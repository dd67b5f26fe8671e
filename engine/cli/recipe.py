"""The verb recipe: a whole experiment, its progress on stderr, its table or JSON on stdout."""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
from pathlib import Path

from engine.experiments import outcome
from engine.experiments.albert_tables import ALBERT_TABLES
from engine.experiments.family import FAMILY, FAMILY_ENGLISH
from engine.experiments.grid import Grid
from engine.experiments.outcome import Outcome
from engine.experiments.outcome_table import outcome_markdown
from engine.experiments.recipes import RECIPES, find_recipe, recipe_markdown, recipe_outcome, run_recipe, with_changes
from engine.settings.options import ConfigError
from engine.storage.cache import digest

GRIDS: dict[str, Grid] = {grid.name: grid for grid in (FAMILY, FAMILY_ENGLISH, *ALBERT_TABLES)}
FOR_SCORES = ("tasks", "epochs", "lr", "limit", "probe")  # what only experiments that score on tasks have


def recipe(arguments: argparse.Namespace) -> None:
    """Does the experiment that the command line names, with what it changes, and keeps what came out.

    Raises:
        ValueError: it cannot be done as asked.
    """
    if arguments.name in GRIDS:
        _grid(GRIDS[arguments.name], arguments)
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
    whole = experiment == find_recipe(arguments.name)
    kept = _named(recipe_outcome(answer, _command(arguments)), whole, dataclasses.asdict(experiment))
    _keep(kept, arguments.runs / outcome.FOLDER)
    if arguments.save:
        _keep(kept, arguments.save)
    print(json.dumps(answer) if arguments.json else f"{answer['about']}\n\n{recipe_markdown(answer)}")


def _grid(original: Grid, arguments: argparse.Namespace) -> None:
    from engine.experiments.grid_runs import run_grid as perform_grid

    useless = [f"--{name}" for name in FOR_SCORES if getattr(arguments, name)]
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

    def keep(found: Outcome) -> None:
        _keep(_named(found, grid == original, settings), arguments.runs / outcome.FOLDER, quiet=True)

    found = perform_grid(grid, arguments.runs, _say, _command(arguments), keep)
    if arguments.save:
        _keep(_named(found, grid == original, settings), arguments.save)
    print(json.dumps(dataclasses.asdict(found)) if arguments.json else outcome_markdown(found))


def _named(found: Outcome, whole: bool, settings: dict[str, object]) -> Outcome:
    """The outcome; one of other settings than the recipe's gets a name of its own."""
    return found if whole else dataclasses.replace(found, name=f"{found.name}-{digest(settings)[:6]}")


def _command(arguments: argparse.Namespace) -> str:
    """What a person types to have the same again; folders are theirs to choose."""
    words = [f"python -m engine recipe {arguments.name}"]
    for name in ("teacher", "corpus", "tasks", "steps", "batch", "seeds", "epochs", "limit", "lr", "precision"):
        if getattr(arguments, name) is not None:
            words.append(f"--{name} {getattr(arguments, name)}")
    return " ".join([*words, *(["--probe"] if arguments.probe else []), "--save"])


def _keep(found: Outcome, folder: Path, quiet: bool = False) -> None:
    try:
        path = outcome.write_outcome(found, folder)
    except OSError as error:
        raise ValueError(f"The outcome could not be written into {folder}: {error.strerror}.") from error
    if not quiet:
        _say(f"kept as {path.name}")


def _say(words: str) -> None:
    print(words, file=sys.stderr, flush=True)
