"""Scores of models on tasks over seeds: made once, kept in the cache, compared with their intervals."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from engine.learning.intervals import mean_interval, retained_share
from engine.model.bert import Bert
from engine.settings.device import Device
from engine.storage.atomic import write_json
from engine.storage.cache import digest, writable_cache_folder
from engine.storage.checksums import SEAL, check_seal, sealed
from engine.storage.json_file import read_json_object
from engine.tasks.finetune import FineTuneRecipe, fine_tune_and_test, weights_fingerprint
from engine.tasks.labelled import Splits, Task, TaskError
from engine.tasks.linear_probe import LENGTH, PENALTIES, FrozenFeatures

CACHE_VERSION = 1  # of kept scores: raise it wherever the same model, task, recipe and seed score otherwise

Progress = Callable[[str, float], None]  # what is done now, and which share of it


def score_task(
    bert: Bert,
    tokenizer: Any,
    task: Task,
    recipe: FineTuneRecipe | None,
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
    how = _method_json(recipe)
    identity = [CACHE_VERSION, weights_fingerprint(bert), task.name, how, limit, device.type, device.mixed_precision]
    identity.append(len(splits.train))
    per_seed, features = [], None
    for seed in range(seeds):
        path = writable_cache_folder("scores") / f"{digest([*identity, seed])}.json"
        if (kept := _read_kept(path, seed, task)) is not None:
            per_seed.append(kept)
            continue
        tell = (lambda share, seed=seed: progress(f"seed {seed}", share)) if progress else None
        if recipe is not None:
            made = fine_tune_and_test(bert, tokenizer, task, splits, recipe, seed, device, tell)
        else:
            features = features or FrozenFeatures(bert, tokenizer, task, splits, device, tell)
            made = features.probe(seed)
        with suppress(OSError):
            write_json(path, sealed(made))
        per_seed.append(made)
    return {
        "task": task.name,
        "metric": task.metrics[0],
        "seeds": [one["seed"] for one in per_seed],
        "scores": {name: seed_statistics([one["test"][name] for one in per_seed]) for name in task.metrics},
        "baseline": task.baseline(splits),
        "recipe": how,
        "examples": {"train": len(splits.train), "validation": len(splits.validation), "test": len(splits.test)},
        "each": per_seed,
        "seconds": round(sum(one["seconds"] for one in per_seed) + (features.seconds if features else 0.0), 1),
        "device": device.name,
    }


def _method_json(recipe: FineTuneRecipe | None) -> dict[str, Any]:
    """How a model is scored, as plain values."""
    if recipe is None:
        return {"method": "probe", "penalties": list(PENALTIES), "length": LENGTH}
    return {"method": "fine-tuning", **recipe.to_json()}


def _read_kept(path: Path, seed: int, task: Task) -> dict[str, Any] | None:
    """What was scored before and lies at `path`; None where nothing does, or it is damaged."""
    with suppress(OSError, ValueError, KeyError, TypeError):
        kept = read_json_object(path)
        check_seal(kept)
        kept.pop(SEAL, None)
        return {"seed": seed, "test": {name: float(kept["test"][name]) for name in task.metrics}, **kept}
    return None


def seed_statistics(values: list[float]) -> dict[str, Any]:
    """Mean, standard deviation over seeds, half the 95% interval of the mean (both None for one seed), and all."""
    return {
        "mean": statistics.fmean(values),
        "spread": statistics.stdev(values) if len(values) > 1 else None,
        "interval": mean_interval(values),
        "values": values,
    }


def retained_score(student: dict[str, Any], teacher: dict[str, Any]) -> dict[str, Any]:
    """What a student keeps of its teacher's score, from two answers of `score_task` on one task."""
    name = student["metric"]
    ratio, width = retained_share(student["scores"][name]["values"], teacher["scores"][name]["values"])
    return {"retained": ratio, "interval": width}


def with_epochs_and_rate(recipe: FineTuneRecipe, epochs: int | None, lr: float | None) -> FineTuneRecipe:
    """The recipe with what was asked for changed."""
    return replace(recipe, epochs=epochs or recipe.epochs, lr=lr or recipe.lr)
