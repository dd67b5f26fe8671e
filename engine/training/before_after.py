"""What is measured of a teacher and its student, side by side: bytes of the file, time of a forward pass, zeros.

Nothing here is computed from a shape: files are written and weighed, passes are run and timed.
"""

from __future__ import annotations

import statistics
import tempfile
import time
import zlib
from pathlib import Path
from typing import Any

import torch
from torch import nn

from engine.model.bert import Bert
from engine.model.saved_models import save_tensors
from engine.settings.device import Device
from engine.text.corpora import TrainingData
from engine.text.masking import Batch

ROWS = 16  # of the batch that is timed
LEAST, MOST = 5, 15  # passes of each model
SECONDS = 1.0  # about so long all passes together may take
MANY_ZEROS = 0.05  # from this share of zeros on it is told how small the file becomes when compressed
CHUNK = 1 << 20


@torch.no_grad()
def measure_both(teacher: Bert, student: Bert, data: TrainingData, device: Device) -> dict[str, Any]:
    """Both models on this machine, now: {"teacher": {...}, "student": {...}, and how it was measured}.

    "bytes": of all tensors in one safetensors file; "latency_ms": median of several forward passes over one fixed
    batch of held-out rows, both models taking turns; "zeros": share of the weights of the layers' matrices that are
    exactly zero; and, where the student has many, "compressed_bytes": of the same file behind zlib.
    """
    batch = next(iter(data.held_out_batches(ROWS))).to(device.type)
    models = {"teacher": teacher.eval(), "student": student.eval()}
    times = _passes(models, batch, device)
    found: dict[str, Any] = {
        name: {
            "bytes": 0,
            "latency_ms": round(1000 * statistics.median(times[name]), 3),
            "zeros": round(zero_share(model), 6),
        }
        for name, model in models.items()
    }
    compress = found["student"]["zeros"] > MANY_ZEROS
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        for name, model in models.items():
            save_tensors(model, path)
            found[name]["bytes"] = path.stat().st_size
            if compress:
                found[name]["compressed_bytes"] = _compressed(path)
    rows, length = batch.ids.shape
    how = {"rows": rows, "length": length, "passes": len(times["student"]), "device": device.name}
    return {**found, **how, "threads": torch.get_num_threads() if device.type == "cpu" else None}


def _passes(models: dict[str, Bert], batch: Batch, device: Device) -> dict[str, list[float]]:
    """Seconds of forward passes, the models taking turns, so that whatever else the machine does meets both."""

    words = all(model.head is not None for model in models.values())

    def one(model: Bert) -> float:
        began = time.perf_counter()
        with device.autocast():
            if words:
                model(batch.ids, batch.visible, positions=batch.positions)
            else:  # one of them has no head: both are timed without
                model.encode(batch.ids, batch.visible)
        device.synchronize()
        return time.perf_counter() - began

    once = sum(one(model) + one(model) for model in models.values()) / 2  # and warms both up
    turns = min(MOST, max(LEAST, int(SECONDS / max(once, 1e-9))))
    times: dict[str, list[float]] = {name: [] for name in models}
    for _ in range(turns):
        for name, model in models.items():
            times[name].append(one(model))
    return times


def zero_share(model: nn.Module) -> float:
    """Share (0-1) of the weights of the layers' matrices that are exactly zero."""
    weights = [p for name, p in model.named_parameters() if p.ndim == 2 and name.startswith(("attentions.", "ffns."))]
    return sum(int((weight == 0).sum()) for weight in weights) / max(1, sum(weight.numel() for weight in weights))


def _compressed(path: Path) -> int:
    """Bytes of the file behind zlib at its usual level."""
    packer, size = zlib.compressobj(), 0
    with path.open("rb") as file:
        while chunk := file.read(CHUNK):
            size += len(packer.compress(chunk))
    return size + len(packer.flush())
