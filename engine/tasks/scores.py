"""Scores of models on tasks over seeds: made once, kept in the cache, compared with their intervals."""

from __future__ import annotations

import json
import statistics
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any

from engine.learning import metrics
from engine.model.bert import Bert
from engine.settings.device import Device
from engine.storage.atomic import write_json
from engine.storage.cache import digest, writable_cache_folder
from engine.tasks.finetune import Recipe, fine_tune, fingerprint, recipe_json
from engine.tasks.labelled import Splits, Task, TaskError
from engine.tasks.linear_probe import LENGTH, PENALTIES, Features

LAYOUT = 1  # of kept scores: raise it wherever the same model, task, recipe and seed score otherwise

Progress = Callable[[str, float], None]  # what is done now, and which share of it


def score(
    bert: Bert,
    tokenizer: Any,
    task: Task,
    recipe: Recipe | None,
    seeds: int,
    device: Device,
    progress: Progress | None = None,
    limit: int = 0,
) -> dict[str, Any]:
    """How `bert` scores on `task` over the seeds 0 ... `seeds` - 1, fine-tuned by `recipe`; None: a linear probe.

    A seed that was scored before, with the same weights and recipe on the same kind of device, is read from the cache.
    `limit`: at most so many examples of each split; 0: all.

    Raises:
        TaskError: the data cannot be had, or do not fit.
    """
    if seeds < 1:
        raise TaskError(f"At least one seed is needed, got {seeds}; three show how far scores spread.")
    if recipe is not None and 8 in (bert.shape.linear_bits, bert.shape.table_bits):
        raise TaskError(
            "This model's weights are int8, and only floats can be fine-tuned; use --probe, or fine-tune the run that "
            "it was made from."
        )
    splits = task.load()
    if limit:
        splits = Splits(splits.train[:limit], splits.validation[:limit], splits.test[:limit])
    how = (
        {"method": "probe", "penalties": list(PENALTIES), "length": LENGTH}
        if recipe is None
        else {"method": "fine-tuning", **recipe_json(recipe)}
    )
    about = [LAYOUT, fingerprint(bert), task.name, how, limit, device.type, device.mixed_precision, len(splits.train)]
    found, features = [], None
    for seed in range(seeds):
        path = writable_cache_folder("scores") / f"{digest([*about, seed])}.json"
        with suppress(OSError, ValueError, KeyError, TypeError):  # not there yet, or damaged
            kept = json.loads(path.read_bytes())
            found.append({"seed": seed, "test": {name: float(kept["test"][name]) for name in task.metrics}, **kept})
            continue
        say = (lambda share, seed=seed: progress(f"seed {seed}", share)) if progress else None
        if recipe is not None:
            made = fine_tune(bert, tokenizer, task, splits, recipe, seed, device, say)
        else:
            features = features or Features(bert, tokenizer, task, splits, device, say)
            made = features.probe(seed)
        with suppress(OSError):
            write_json(path, made)
        found.append(made)
    return {
        "task": task.name,
        "metric": task.metrics[0],
        "seeds": [one["seed"] for one in found],
        "scores": {name: summary([one["test"][name] for one in found]) for name in task.metrics},
        "baseline": task.baseline(splits),
        "recipe": how,
        "examples": {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
        "each": found,
        "seconds": round(sum(one["seconds"] for one in found) + (features.seconds if features else 0.0), 1),
        "device": device.name,
    }


def summary(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation over seeds, half the 95% interval of the mean (both None for one seed), and all."""
    return {
        "mean": statistics.fmean(values),
        "spread": statistics.stdev(values) if len(values) > 1 else None,
        "interval": metrics.mean_interval(values),
        "values": values,
    }


def retained(student: dict[str, Any], teacher: dict[str, Any]) -> dict[str, Any]:
    """What a student keeps of its teacher's score, from two answers of `score` on one task."""
    name = student["metric"]
    ratio, width = metrics.retained_share(student["scores"][name]["values"], teacher["scores"][name]["values"])
    return {"retained": ratio, "interval": width}


def quick(recipe: Recipe, epochs: int | None, lr: float | None) -> Recipe:
    """The recipe with what was asked for changed."""
    return replace(recipe, epochs=epochs or recipe.epochs, lr=lr or recipe.lr)
