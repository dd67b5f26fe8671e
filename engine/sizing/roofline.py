"""Roofline: the least time that a forward pass can take on a device, from its peak rate and its memory's bandwidth.

A bound, not a prediction: no program reaches both. Rates are the vendors'; what this machine reaches is measured by
engine/benches/machine_rate.py. Knows no torch.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.sizing.cost import parameters
from engine.sizing.footprint import PRECISIONS, TrainingBatch, flops, training_flops
from engine.sizing.shape import Shape


@dataclass(frozen=True)
class Accelerator:
    """A device by its vendor's figures: dense rates, without structured sparsity."""

    name: str
    label: str
    float32: float  # FLOP/s of float32 products
    bfloat16: float  # FLOP/s of bfloat16 (T4: float16) products
    bandwidth: float  # bytes a second of its memory
    source: str

    def rate(self, precision: str) -> float:
        """FLOP/s at which weights of `precision` are multiplied: int8 and int4 weights are unpacked to bfloat16."""
        return self.float32 if precision == "float32" else self.bfloat16


ACCELERATORS = {
    accelerator.name: accelerator
    for accelerator in (
        Accelerator("h200", "NVIDIA H200 SXM", 67e12, 989e12, 4.8e12, "NVIDIA H200 data sheet"),
        Accelerator("h100", "NVIDIA H100 SXM", 67e12, 989e12, 3.35e12, "NVIDIA H100 data sheet"),
        Accelerator("a100", "NVIDIA A100 SXM 80 GB", 19.5e12, 312e12, 2.039e12, "NVIDIA A100 data sheet"),
        Accelerator("l4", "NVIDIA L4", 30.3e12, 121e12, 300e9, "NVIDIA L4 data sheet"),
        Accelerator("t4", "NVIDIA T4", 8.1e12, 65e12, 320e9, "NVIDIA T4 data sheet; float16, it has no bfloat16"),
        Accelerator(
            "rtx4090", "NVIDIA RTX 4090", 82.6e12, 165.2e12, 1.008e12, "NVIDIA Ada GPU architecture white paper"
        ),
        Accelerator("rtx3090", "NVIDIA RTX 3090", 35.6e12, 71e12, 936e9, "NVIDIA GA102 GPU architecture white paper"),
    )
}
DEVICE_LABELS = {"": "no device", **{it.name: it.label for it in ACCELERATORS.values()}, "here": "this machine"}


def find_accelerator(name: str) -> Accelerator:
    """The accelerator called `name`.

    Raises:
        ValueError: the table has none of this name.
    """
    if name not in ACCELERATORS:
        raise ValueError(f"There is no device {name[:40]!r}; choose one of {', '.join(ACCELERATORS)}.")
    return ACCELERATORS[name]


@dataclass(frozen=True)
class RooflineBound:
    """The least seconds of one forward pass, and why."""

    compute: float  # seconds at the peak rate
    memory: float  # seconds to read every needed weight once

    @property
    def seconds(self) -> float:
        """The larger of both."""
        return max(self.compute, self.memory)

    @property
    def limit(self) -> str:
        """What it waits for."""
        return "arithmetic" if self.compute >= self.memory else "memory"


def roofline_bound(
    shape: Shape, device: Accelerator, tokens: int, sequences: int = 1, precision: str = "bfloat16"
) -> RooflineBound:
    """The roofline bound of a forward pass over `sequences` sequences of `tokens` tokens, heads on every token.

    Raises:
        ValueError: more tokens than positions, or an unknown precision.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}.")
    computed = sequences * flops(shape, tokens)
    read = weights_read(shape, tokens, sequences) * PRECISIONS[precision]
    return RooflineBound(computed / device.rate(precision), read / device.bandwidth)


def weights_read(shape: Shape, tokens: int, sequences: int = 1) -> int:
    """Weights that one pass must read at least once: of the word table the rows in use, or all for a tied decoder."""
    unread = (shape.positions - tokens) * shape.embedding
    if not (shape.mlm_head and shape.tied):
        unread += max(0, shape.vocab - tokens * sequences) * shape.embedding
    return parameters(shape) - unread


def training_seconds(shape: Shape, batch: TrainingBatch, steps: int, rate: float) -> float:
    """Seconds of `steps` training steps at `rate` FLOP/s, as measured on a training step (an estimate)."""
    if rate <= 0:
        raise ValueError(f"rate must be above 0 FLOP/s, got {rate:g}.")
    return steps * training_flops(shape, batch) / rate
