"""This machine's rates: matrix products, memory, and a training step. Started as a program (see apart.py)."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from engine.learning.losses import masked_lm_loss
from engine.methods.base import adamw
from engine.model.bert import new_bert
from engine.settings import torch_subprocess as apart
from engine.settings.device import Device, pick_device
from engine.sizing.footprint import TrainingBatch, training_flops
from engine.sizing.shape import Shape
from engine.text.masking import Batch as Words

STEP = Shape(layers=4, hidden=256, heads=4, vocab=8192, positions=128)  # the model whose step is timed
SECONDS = 1.0  # about as long each rate is measured


def measure(device: Device | None = None, seconds: float = SECONDS) -> dict[str, Any]:
    """Rates of the best device here: FLOP/s of float32 and bfloat16 products and of a training step, bytes a second.

    A training step is one of `STEP` on eight sequences of 128 tokens, in the precision that training uses here; its
    FLOPs are those of `engine.sizing.footprint.training_flops`.
    """
    device = device or pick_device()
    size = 4096 if device.type == "cuda" else 1024
    rates = {}
    for share, name, kind in ((0.1, "float32", torch.float32), (0.3, "bfloat16", torch.bfloat16)):
        apart.report_progress(share, f"{name} products on {device.name}")
        a = torch.randn(size, size, device=device.type).to(kind)
        rates[name] = 2 * size**3 / _median(partial(torch.matmul, a, a), device, seconds)
    apart.report_progress(0.5, "memory")
    block = torch.zeros(2**28 if device.type == "cuda" else 2**26, device=device.type)  # 1 GB or 256 MB
    bandwidth = 2 * block.nbytes / _median(partial(torch.empty_like(block).copy_, block), device, seconds)
    del block
    apart.report_progress(0.7, "training steps")
    precision = "bfloat16" if device.mixed_precision else "float32"
    batch = TrainingBatch(8, 128, precision)
    step_seconds = _median(_training_step(batch, device), device, seconds)
    return {
        "device": device.name,
        "float32": rates["float32"],
        "bfloat16": rates["bfloat16"],
        "bandwidth": bandwidth,
        "step": training_flops(STEP, batch) / step_seconds,
        "step_precision": precision,
        "step_model": f"{STEP}, {batch.sequences} x {batch.tokens} tokens",
    }


def _training_step(batch: TrainingBatch, device: Device) -> Callable[[], object]:
    model = new_bert(STEP, seed=0).to(device.type).train()
    optimizer = adamw([(model, 1e-4)])
    ids = torch.randint(0, STEP.vocab, (batch.sequences, batch.tokens))
    positions = torch.arange(batch.predicted) * (ids.numel() // batch.predicted)
    words = Words(ids, torch.ones_like(ids, dtype=torch.bool), positions, ids.flatten()[positions]).to(device.type)

    def step() -> None:
        with device.autocast():
            loss = masked_lm_loss(model, words)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    return step


def _median(action: Callable[[], object], device: Device, seconds: float) -> float:
    """Median seconds of one `action`, the first left out; as many as fit into `seconds`, at least three."""
    times: list[float] = []
    began = time.perf_counter()
    while len(times) < 4 or (time.perf_counter() - began < seconds and len(times) < 200):
        start = time.perf_counter()
        action()
        if device.type == "cuda":
            torch.cuda.synchronize()
        elif device.type == "mps":
            torch.mps.synchronize()
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


if __name__ == "__main__":
    apart.answer_stdin(lambda question: measure())
