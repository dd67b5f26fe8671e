"""What is known of a checkpoint's tensors without their values: names, sizes, kinds of numbers.

Pickles can hold tensors that are no block of numbers in memory; they say so as their kind, and nothing computes with
them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor

from engine.settings.error_text import on_one_line
from engine.sizing.shape import ShapeError

FLOATS = ("float32", "float16", "bfloat16", "float64", "F32", "F16", "BF16", "F64")  # torch's names, and safetensors'


@dataclass(frozen=True)
class StoredTensor:
    """What is known of a tensor without reading it."""

    size: tuple[int, ...]
    kind: str  # of number: torch's name, or safetensors'


_Stored = TypeVar("_Stored", Tensor, StoredTensor)


def stored_tensors(tensors: Mapping[str, Tensor]) -> dict[str, StoredTensor]:
    """What is known of `tensors` without their values; what is no block of numbers in memory says so as its kind."""
    return {
        name: StoredTensor(() if tensor.is_nested else tuple(tensor.shape), _kind_of_numbers(tensor))
        for name, tensor in tensors.items()
    }


def _kind_of_numbers(tensor: Tensor) -> str:
    if tensor.is_nested:
        return "nested tensors"
    if tensor.layout != torch.strided:
        return f"a tensor with the layout {str(tensor.layout).removeprefix('torch.')}"
    if tensor.is_meta:
        return "no values"
    if tensor.numel() * tensor.element_size() > tensor.untyped_storage().nbytes():
        return "fewer numbers than its size says"  # a few kilobytes could ask for any amount of memory
    return str(tensor.dtype).removeprefix("torch.")


def of_today(tensors: Mapping[str, _Stored]) -> dict[str, _Stored]:
    """Tensors by their names as the library has them since 2019.

    Raises:
        ShapeError: one is there by both names.
    """
    today: dict[str, _Stored] = {}
    for name, tensor in tensors.items():
        new = re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", name))
        if new in today:
            raise ShapeError([f"The tensor {on_one_line(new)} is there twice, by its name and by the one of 2018."])
        today[new] = tensor
    return today


def rounding(config: dict[str, Any], stored: Mapping[str, StoredTensor]) -> str:
    """The kind of number, float16 or bfloat16, to which the library rounds a checkpoint as it loads it; "" for none.

    It is what the config says, else what the first tensor holds; transformers before version 5 rounded nothing.

    Raises:
        ShapeError: the config names no kind of floating-point number.
    """
    stated = next((config[name] for name in ("dtype", "torch_dtype") if config.get(name)), None)
    if stated and stated not in FLOATS[:4]:
        raise ShapeError(
            [f"dtype in config.json should be one of {', '.join(FLOATS[:4])}, got {on_one_line(stated, 20)!r}."]
        )
    kinds = {"F16": "float16", "BF16": "bfloat16"}
    held = [kinds.get(tensor.kind, tensor.kind) for tensor in stored.values() if tensor.kind in FLOATS]
    kind = str(stated) if stated else next(iter(held), "")
    return kind if kind in kinds.values() and set(held) != {kind} else ""


def as_loaded(config: dict[str, Any], tensors: Mapping[str, Tensor]) -> torch.dtype:
    """The kind of number that a checkpoint's values go through, as `rounding`; float32 where nothing is rounded."""
    return {"float16": torch.float16, "bfloat16": torch.bfloat16}.get(
        rounding(config, stored_tensors(tensors)), torch.float32
    )
