"""Small models, batches and runs that several test files build."""

import functools
import math
from collections.abc import Callable, Generator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import transformers

from engine import microworld, runs
from engine import train as train_module
from engine.bert import Bert
from engine.cache import digest
from engine.config import RunConfig
from engine.corpora import Batch, mask
from engine.methods import METHODS
from engine.methods.base import Method
from engine.runs import Run
from engine.shape import Shape
from engine.sources import Source
from engine.train import train


def new_tokenizer() -> Any:
    """A tokenizer of the microworld that the caller may change."""
    words = {word: index for index, word in enumerate(microworld.vocabulary())}
    return transformers.BertTokenizer(vocab=words)


torch.set_num_threads(1)  # these models are so small that threads cost more than they give
tokenizer = functools.cache(new_tokenizer)  # the microworld's tokenizer, shared by all tests


def randomise(model: torch.nn.Module, seed: int = 0) -> Any:
    """`model` with every parameter, biases and gains too, far from its initial value, so that a mix-up shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            spread = 0.3 if parameter.ndim == 1 else 1.0 / math.sqrt(parameter.shape[-1])
            centre = float("norm" in name.lower() and "weight" in name)
            parameter.copy_(centre + torch.randn(parameter.shape, generator=generator) * spread)
    return model.eval()


def teacher(**sizes: Any) -> Bert:
    """A tiny randomised teacher over the microworld's words."""
    small: dict[str, Any] = {"layers": 2, "hidden": 16, "heads": 4, "ffn": 24, "positions": 64}
    bert = randomise(Bert(Shape(vocab=len(microworld.vocabulary()), **{**small, **sizes})))
    with torch.no_grad():
        bert.embeddings.word.weight.mul_(0.2)  # logits of the usual size: float32 rounds them to about 1e-6
    return bert


@functools.cache
def masked_batch(size: int = 6, length: int = 20, seed: int = 0) -> Batch:
    """A masked batch of random words, its rows of several lengths."""
    rng, speaker = np.random.default_rng(seed), tokenizer()
    rows = np.full((size, length), speaker.pad_token_id)
    for index, row in enumerate(rows):
        end = length - 2 * index
        row[:end] = rng.integers(5, len(speaker), end)
        row[0], row[end - 1] = speaker.cls_token_id, speaker.sep_token_id
    return mask(rows, speaker, rng)


def source_of(documents: list[list[str]]) -> Any:
    """What stands behind the name of a corpus that consists of `documents`."""
    return lambda rest: Source(lambda: documents, lambda: digest(documents))


def tiny(method: str, steps: int = 24, **changes: Any) -> RunConfig:
    """A run of a few seconds' fraction: the blank teacher, 4 x 128, and a student of 1 x 32
    where the method can make one, of 2 x 128 where it can choose layers only."""
    chooses = METHODS.get(method, METHODS["scratch"]).chooses
    small = {"layers": 1, "hidden": 32, "heads": 4, "ffn": 64} if "hidden" in chooses else {"layers": 2}
    settings: dict[str, Any] = {
        "teacher": "blank",
        "method": method,
        "student": small if chooses else {},
        "steps": steps,
        "batch": 4,
        "length": 16,
        "device": "cpu",
        "evaluations": 2,
        "checkpoints": 2,
    }
    return RunConfig(**{**settings, **changes})


def new_run(root: Path, config: RunConfig) -> Run:
    """An empty run folder for `config`."""
    return runs.create(root, config.to_json(), config.method)


def finish(config: RunConfig, run: Run) -> list[dict[str, Any]]:
    """Every event of `config`, run to its end in the folder `run`."""
    return list(train(config, run))


def losses(events: list[dict[str, Any]]) -> dict[int, float]:
    """Step -> loss."""
    return {event["step"]: event["loss"] for event in events if event["kind"] == "step"}


def wanted_of(kind: type[Method]) -> dict[str, int]:
    """What is asked of a student of a teacher 2 x 32: another shape, where the method can give it one."""
    if kind.chooses == ("layers",):
        return {
            "layers": 2 if "task-agnostic" not in kind.uses else 1
        }  # on a task the last of two layers is not compared
    return {"hidden": 16, "heads": 4, "ffn": 32} if kind.chooses else {}


def slow_steps(patch: Any, seconds: Callable[[int], float]) -> None:
    """Puts a clock into the training loop that goes on by `seconds(step)` in every step, and stands still otherwise."""
    now, real, began = [0.0], train_module.backward, [0]

    def backward(*parts: Any) -> Any:
        began[0] += 1
        now[0] += seconds(began[0])
        return real(*parts)

    patch.setattr(train_module, "backward", backward)
    patch.setattr(train_module, "time", SimpleNamespace(perf_counter=lambda: now[0]))


def returned(work: Generator[Any, None, Any]) -> Any:
    """What a generator returns at its end."""
    while True:
        try:
            next(work)
        except StopIteration as end:
            return end.value
