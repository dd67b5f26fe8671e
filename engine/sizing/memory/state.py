"""What training keeps from step to step: an optimizer's state, tensor by tensor, and each device's share of it.

Weights and gradients are float32. Sharding: ZeRO (arXiv 1910.02054, section 5; FSDP's FULL_SHARD is stage 3). Knows no
torch.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from engine.sizing.tensors import tensor_kinds

OPTIMIZER_LABELS = {
    "adamw": "AdamW",
    "adamw-8bit": "AdamW, 8-bit",
    "sgd": "SGD",
    "sgd-momentum": "SGD with momentum",
    "adafactor": "Adafactor",
    "muon": "Muon",
}
ZERO_STAGES = (0, 1, 2, 3)
SHARDED = {  # what each stage of ZeRO cuts into one part a device
    0: "nothing",
    1: "optimizer state",
    2: "optimizer state and gradients",
    3: "optimizer state, gradients and weights",
}
BLOCK = 256  # elements that share one scale in an 8-bit state (bitsandbytes 0.50: its optimizers' blocksize)
LEAST_8BIT = 4096  # elements from which on a state is in 8 bits (its min_8bit_size)
MAPS = 2 * 256 * 4  # bytes of the two tables of what 8 bits mean, which all tensors share


def optimizer_state_bytes(shape: Shape, optimizer: str) -> int:
    """Bytes that one of OPTIMIZER_LABELS keeps for a model of `shape` after its first step.

    AdamW: two float32 moments and a step count a tensor. 8-bit AdamW: two bytes a parameter and two float32 scales a
    block of 256, where a tensor has at least 4,096 elements, and two float32 moments elsewhere (arXiv 2110.02861; the
    library leaves embedding tables in 32 bits only where it is told to, as transformers' Trainer does). SGD: nothing,
    or one momentum. Adafactor: a number a row and a column of a matrix, a number an element of a vector (arXiv
    1804.04235, without first moment). Muon: one momentum for matrices between hidden states, AdamW for the rest.

    Raises:
        ValueError: there is no such optimizer.
    """
    if optimizer not in OPTIMIZER_LABELS:
        raise ValueError(f"optimizer must be one of {', '.join(OPTIMIZER_LABELS)}, got {optimizer!r}.")
    tensors = _tensors(shape)
    maps = MAPS if optimizer == "adamw-8bit" and any(tensor.elements >= LEAST_8BIT for tensor in tensors) else 0
    return maps + sum(tensor.stored * _state(optimizer, tensor) for tensor in tensors)


def _state(optimizer: str, tensor: _Tensor) -> int:
    """Bytes for one tensor."""
    size = tensor.elements
    if optimizer == "sgd":
        return 0
    if optimizer == "sgd-momentum" or (optimizer == "muon" and tensor.between_hidden):
        return 4 * size
    if optimizer == "adafactor":
        return 4 + 4 * (sum(tensor.sizes) if len(tensor.sizes) > 1 else size)
    if optimizer == "adamw-8bit":
        return 2 * size + 8 * -(-size // BLOCK) if size >= LEAST_8BIT else 8 * size
    return 8 * size + 4


@dataclass(frozen=True)
class _Tensor:
    sizes: tuple[int, ...]
    elements: int
    stored: int  # how many such tensors there are
    between_hidden: bool  # a matrix that is neither an embedding table nor a decoder


def _tensors(shape: Shape) -> list[_Tensor]:
    """Every kind of tensor that is kept, in the order of the model."""
    found = []
    for entry in tensor_kinds(shape):
        if entry.stored:
            sizes = tuple(int(size.replace(",", "")) for size in entry.formula.split(" x "))
            hidden = len(sizes) == 2 and "table" not in entry.name and "decoder" not in entry.name
            found.append(_Tensor(sizes, entry.count, entry.stored, hidden))
    return found


def optimizer_scratch_bytes(shape: Shape, optimizer: str, device: str = "gpu", fused: bool = False) -> int:
    """Bytes that a step of torch's optimizer takes for a moment; `fused`: AdamW as one kernel.

    AdamW: the square roots of all second moments at once on a GPU (foreach, torch's choice), of two tensors in turn on
    a CPU; nothing as one kernel, nor in 8 bits. Adafactor: the estimate of one tensor beside the last one's. Muon:
    about three times its largest matrix (an estimate), or what AdamW takes for the rest.
    """
    tensors = _tensors(shape)
    if optimizer == "muon":
        largest = max((tensor.elements for tensor in tensors if tensor.between_hidden), default=0)
        rest = [tensor for tensor in tensors if not tensor.between_hidden]
        return max(3 * 4 * largest, 0 if fused else _adamw_scratch(rest, device))
    if optimizer == "adafactor":
        return max(4 * (before + size) for before, size in _in_turn(tensors))
    return _adamw_scratch(tensors, device) if optimizer == "adamw" and not fused else 0


def _adamw_scratch(tensors: list[_Tensor], device: str) -> int:
    if device == "gpu":
        return sum(4 * tensor.elements * tensor.stored for tensor in tensors)
    return max(4 * (before + 2 * size) for before, size in _in_turn(tensors))


def _in_turn(tensors: list[_Tensor]) -> Iterator[tuple[int, int]]:
    """(elements of the tensor before, elements) in the order of the model."""
    before = 0
    for tensor in tensors:
        for _ in range(min(tensor.stored, 2)):
            yield before, tensor.elements
            before = tensor.elements


@dataclass(frozen=True)
class TrainingState:
    """Bytes of weights, gradients and optimizer state, on one device."""

    weights: int
    gradients: int
    optimizer: int

    def on_one_of(self, devices: int, stage: int) -> TrainingState:
        """What one of `devices` holds when ZeRO of `stage` cuts them up; the largest share, in whole bytes.

        Raises:
            ValueError: there is no such stage, or fewer than one device.
        """
        if stage not in ZERO_STAGES:
            raise ValueError(f"zero must be one of 0, 1, 2, 3, got {stage}.")
        if not 1 <= devices <= 10**6:
            raise ValueError(f"devices must be between 1 and 1,000,000, got {devices:,}.")

        def share(size: int, cut: bool) -> int:
            return -(-size // devices) if cut else size

        return TrainingState(
            share(self.weights, stage >= 3), share(self.gradients, stage >= 2), share(self.optimizer, stage >= 1)
        )


def training_state(shape: Shape, optimizer: str = "adamw") -> TrainingState:
    """The state of training a model of `shape` on one device: float32 weights and gradients, and the optimizer's."""
    size = 4 * parameters(shape)
    return TrainingState(size, size, optimizer_state_bytes(shape, optimizer))


def gathered_bytes(shape: Shape) -> int:
    """Bytes that stage 3 puts together for a moment: weights and gradients of the largest unit that is gathered.

    A unit is a layer, as in FSDP with a policy a layer; all that is in no layer is one unit more.
    """
    layers = rest = 0
    for entry in tensor_kinds(shape):
        inside = entry.part in ("attention", "ffn")
        layers += entry.count if inside else 0
        rest += 0 if inside else entry.count * min(entry.stored, 1)
    return 2 * 4 * max(layers, rest)
