"""A teacher fine-tuned on a task, for methods that distil on labelled data: made once, and kept in the cache."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import suppress
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from engine.model.bert import Bert
from engine.settings.device import Device
from engine.storage.atomic import whole_file, write_json
from engine.storage.cache import digest, writable_cache_folder
from engine.storage.checksums import ChecksumError, file_checksum
from engine.storage.json_file import read_json_object
from engine.tasks.batches import TaskData
from engine.tasks.finetune import FineTuneRecipe, TaskModel, fine_tune_in_steps, weights_fingerprint

CACHE_VERSION = 1  # of kept teachers: raise it wherever the same model, task, recipe and seed become another


def fine_tuned_teacher(
    bert: Bert, data: TaskData, recipe: FineTuneRecipe, seed: int, device: Device
) -> Generator[float, None, TaskModel]:
    """`bert` fine-tuned on `data` by `recipe`, on `device`; yields the share that is done, 0 to 1.

    One that was made before, with the same weights, examples, recipe and seed on the same kind of device, is read from
    the cache, and nothing is yielded. Torch's random numbers go on as if nothing had happened.

    Raises:
        TaskError: the loss is no number any more.
    """  # fmt: skip
    facts = [data.train.ids, data.train.targets.tolist(), data.validation.ids, data.validation.targets.tolist()]
    about = [CACHE_VERSION, weights_fingerprint(bert), data.name, digest(facts), recipe.to_json(), seed]
    path = writable_cache_folder("taught") / f"{digest([*about, device.type, device.mixed_precision])}.safetensors"
    with torch.random.fork_rng(range(torch.cuda.device_count()) if device.type == "cuda" else []):
        with suppress(OSError, ValueError, KeyError, SafetensorError, RuntimeError):  # not there yet, or damaged
            _check(path)
            kept = TaskModel(bert, data.task, recipe.dropout, seed, recipe.pooling)
            kept.load_state_dict(load_file(path))
            return kept.to(device.type).eval()
        learning = fine_tune_in_steps(
            bert, data.tokenizer, data.task, data.train, data.validation, recipe, seed, device
        )
        learned = yield from learning
    with suppress(OSError):
        tensors = {name: tensor.cpu().contiguous() for name, tensor in learned.model.state_dict().items()}
        with whole_file(path) as draft:
            save_file(tensors, draft)
        write_json(_about(path), {"blake2b": file_checksum(path)})
    return learned.model


def _about(path: Path) -> Path:
    """Where the checksum of a kept teacher lies."""
    return path.with_suffix(".json")


def _check(path: Path) -> None:
    """Compares a kept teacher with its checksum, if it has one.

    Raises:
        ChecksumError: it has changed.
        OSError, ValueError, KeyError: it is not there, or the checksum is damaged.
    """
    if _about(path).exists() and read_json_object(_about(path))["blake2b"] != file_checksum(path):
        raise ChecksumError(f"{path.name} has changed since it was written")
