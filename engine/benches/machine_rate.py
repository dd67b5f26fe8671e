"""This machine's rates: matrix products, memory, and a training step.

Started as a program by those who load no torch themselves (engine.settings.torch_subprocess).
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from engine.benches.timing import time_within, training_precision
from engine.methods.registry import find
from engine.model.bert import new_bert
from engine.settings.device import Device, pick_device
from engine.settings.torch_subprocess import answer_stdin, report_progress
from engine.sizing.footprint import TrainingBatch, training_flops
from engine.sizing.shape import Shape
from engine.text.masking import Batch as TokenBatch
from engine.training.processes import Processes
from engine.training.step import Learner

STEP = Shape(layers=4, hidden=256, heads=4, vocab=8192, positions=128)  # the model whose step is timed
SECONDS = 1.0  # about as long each rate is measured


def machine_rates(device: Device | None = None, seconds: float = SECONDS) -> dict[str, Any]:
    """Rates of the best device here: FLOP/s of float32 and bfloat16 products and of a training step, bytes a second.

    A training step is one of `STEP` on eight sequences of 128 tokens, in the precision that training uses here; its
    FLOPs are those of `engine.sizing.footprint.training_flops`.
    """
    device = device or pick_device()
    size = 4096 if device.type == "cuda" else 1024
    report_progress(0.1, f"float32 products on {device.name}")
    float32 = matmul_rate(size, torch.float32, device, seconds)
    report_progress(0.3, f"bfloat16 products on {device.name}")
    bfloat16 = matmul_rate(size, torch.bfloat16, device, seconds)
    report_progress(0.5, "memory")
    bandwidth = _copy_rate(device, seconds)
    report_progress(0.7, "training steps")
    batch = TrainingBatch(8, 128, training_precision(device))
    step_seconds = statistics.median(time_within(_training_step(batch, device), seconds, device))
    return {
        "device": device.name,
        "float32": float32,
        "bfloat16": bfloat16,
        "bandwidth": bandwidth,
        "step": training_flops(STEP, batch) / step_seconds,
        "step_precision": batch.precision,
        "step_model": f"{STEP}, {batch.sequences} x {batch.tokens} tokens",
    }


def matmul_rate(size: int, dtype: torch.dtype, device: Device, seconds: float = SECONDS) -> float:
    """FLOP/s of products of two square matrices of width `size`, measured for about `seconds`."""
    matrix = torch.randn(size, size, device=device.type).to(dtype)
    return 2 * size**3 / statistics.median(time_within(partial(torch.matmul, matrix, matrix), seconds, device))


def _copy_rate(device: Device, seconds: float) -> float:
    """Bytes of memory that are read or written in a second while a large block is copied."""
    block = torch.zeros(2**28 if device.type == "cuda" else 2**26, device=device.type)  # 1 GB or 256 MB
    copy = partial(torch.empty_like(block).copy_, block)
    return 2 * block.nbytes / statistics.median(time_within(copy, seconds, device))


def _training_step(batch: TrainingBatch, device: Device) -> Callable[[], object]:
    """One training step of a new model `STEP` from scratch on random tokens, to be called as often as is wanted."""
    model, kind = new_bert(STEP, seed=0).to(device.type).train(), find("scratch")
    method = kind(kind.Options(), 1)
    ids = torch.randint(0, STEP.vocab, (batch.sequences, batch.tokens))
    positions = torch.arange(batch.predicted) * (ids.numel() // batch.predicted)
    visible = torch.ones_like(ids, dtype=torch.bool)
    tokens = TokenBatch(ids, visible, positions, ids.flatten()[positions])
    learner = Learner(method, model, method.optimizer(model), None, device, Processes(0, 1))
    return lambda: learner.step(tokens, [tokens], 1)


if __name__ == "__main__":
    answer_stdin(lambda question: machine_rates())
