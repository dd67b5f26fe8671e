"""The verb recipe: a whole experiment, its progress on stderr, its table or JSON on stdout."""

from __future__ import annotations

import argparse
import json
import sys

from engine.recipes import changed, find, perform, table


def recipe(arguments: argparse.Namespace) -> None:
    """Does the experiment that the command line names, with what it changes.

    Raises:
        ValueError: it cannot be done as asked.
    """
    experiment = changed(
        find(arguments.name),
        teacher=arguments.teacher,
        corpus=arguments.corpus,
        steps=arguments.steps,
        batch=arguments.batch,
        seeds=arguments.seeds,
        epochs=arguments.epochs,
        limit=arguments.limit,
        precision=arguments.precision,
        probe=arguments.probe or None,
        tasks=tuple(arguments.tasks.split(",")) if arguments.tasks else None,
    )
    for name in ("seeds", "epochs"):
        if getattr(experiment, name) < 1:
            raise ValueError(f"--{name} must be at least 1, got {getattr(experiment, name)}.")
    answer = perform(experiment, arguments.runs, lambda words: print(words, file=sys.stderr, flush=True))
    print(json.dumps(answer) if arguments.json else f"{answer['about']}\n\n{table(answer)}")
