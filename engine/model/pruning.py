"""Structured pruning: whole heads and FFN neurons taken out of a BERT; and a BERT's weights in another kind of linears.

Knows which tensors a head or a neuron has; which of them should go is for engine/inspection/importance.py to say.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import cast

import torch
from torch import Tensor, nn

from engine.model.bert import Bert
from engine.model.linears import FactorisedLinear, Int8Embedding, Int8Linear, dense_weight, to_int8
from engine.sizing.shape import Shape, ShapeError

Kept = list[list[int]]  # of each block that has weights of its own: which heads or neurons stay, rising


def convert(bert: Bert, shape: Shape) -> Bert:
    """The weights of `bert` in a model of `shape`: the same sizes, linears whole, factorised or int8 as it asks.

    Heads on top that `shape` does not have are left out. A factorised linear of `bert` is multiplied out where `shape`
    has a whole one; a whole one becomes the best product of two factors (see `truncated_svd`); int8 becomes float32.

    Raises:
        ShapeError: `shape` has other sizes.
    """
    copy, theirs = Bert(shape), dict(bert.named_modules())
    with torch.no_grad():
        for name, module in _whole_modules(copy):
            if name not in theirs:
                raise ShapeError([f"The model to be copied has no {name}, and the shape {shape} asks for it."])
            _copy(module, theirs[name], name)
    return copy


def _whole_modules(bert: Bert) -> Iterator[tuple[str, nn.Module]]:
    """Every module with its name, the two factors of a linear not apart from it."""
    modules = dict(bert.named_modules())
    for name, module in modules.items():
        if not isinstance(modules.get(name.rpartition(".")[0]), FactorisedLinear):
            yield name, module


def _copy(mine: nn.Module, theirs: nn.Module, name: str) -> None:
    """Puts the weights of one module into another of the same sizes."""
    if isinstance(mine, nn.Linear | Int8Linear | FactorisedLinear | Int8Embedding | nn.Embedding):
        _fill_linear(mine, dense_weight(theirs), getattr(theirs, "bias", None), theirs, name)
        return
    for part, parameter in mine.named_parameters(recurse=False):
        _put(parameter, getattr(theirs, part), f"{name}.{part}")


def _fill_linear(mine: nn.Module, weight: Tensor, bias: Tensor | None, theirs: nn.Module, name: str) -> None:
    """Puts a float `weight` (out, in) and a `bias` into a linear or a table of any kind."""
    if isinstance(mine, FactorisedLinear):
        first, second = cast(nn.Linear, mine.first), cast(nn.Linear, mine.second)
        rank = first.weight.shape[0]
        if isinstance(theirs, FactorisedLinear) and cast(nn.Linear, theirs.first).weight.shape[0] == rank:
            down, up = dense_weight(theirs.first), dense_weight(theirs.second)
        else:
            up, down = truncated_svd(weight, rank)
        _fill_linear(first, down, None, nn.Identity(), f"{name}.first")
        _fill_linear(second, up, bias, nn.Identity(), f"{name}.second")
        return
    if isinstance(mine, Int8Linear | Int8Embedding):
        small, scale = to_int8(weight)
        _put(mine.weight, small, name)
        mine.scale.copy_(scale)
    else:
        _put(cast(nn.Linear, mine).weight, weight, name)
    if bias is not None:
        _put(cast(nn.Linear, mine).bias, bias, f"{name}.bias")


def _put(parameter: Tensor, value: Tensor, name: str) -> None:
    if parameter.shape != value.shape:
        raise ShapeError([f"{name} should be {tuple(parameter.shape)}, and is {tuple(value.shape)}."])
    parameter.copy_(value)


def truncated_svd(weight: Tensor, rank: int) -> tuple[Tensor, Tensor]:
    """(out, rank) and (rank, in) whose product is nearest to `weight` (out, in): its SVD, cut off (Eckart-Young).

    Each factor gets the square root of the singular values, so that both learn at one pace.
    """
    left, values, right = torch.linalg.svd(weight, full_matrices=False)
    root = values[:rank].sqrt()
    return left[:, :rank] * root, root[:, None] * right[:rank]


# ---- heads and neurons ----------------------------------------------------------------------------------------------


def block_sizes(shape: Shape, part: str) -> list[int]:
    """How many heads ("attention") or neurons ("ffn") each block with weights of its own has."""
    count = shape.heads_of if part == "attention" else shape.ffn_of
    return [count(layer) for layer in shape.owners(part)]


def pruned_shape(shape: Shape, part: str, counts: Sequence[int]) -> Shape:
    """`shape` with `counts` heads or neurons in each block with weights of its own."""
    order = {group: place for place, group in enumerate(sorted({shape.group_of(i) for i in range(shape.layers)}))}
    each = [counts[order[shape.group_of(layer)] if shape.shares(part) else layer] for layer in range(shape.layers)]
    fields = {**vars(shape), "heads": max(each), "layer_heads": each}
    return Shape(**(fields if part == "attention" else {**vars(shape), "ffn": max(each), "layer_ffn": each}))


def prune(bert: Bert, part: str, kept: Kept) -> Bert:
    """`bert` with the `kept` heads ("attention") or neurons ("ffn") only, of each block with weights of its own.

    It computes what `bert` computes when the outputs of all others are zero.
    """
    shape = pruned_shape(bert.shape, part, [len(places) for places in kept])
    small, width = Bert(shape), bert.shape.head_dim if part == "attention" else 1
    blocks = {"attention": "attentions", "ffn": "ffns"}[part]
    into = {"attention": ("query", "key", "value"), "ffn": ("up",)}[part]
    out = {"attention": "output", "ffn": "down"}[part]
    theirs = dict(bert.named_modules())
    with torch.no_grad():
        for name, module in _whole_modules(small):
            where, _, last = name.rpartition(".")
            if not (where.startswith(f"{blocks}.") and last in (*into, out)):
                _copy(module, theirs[name], name)
        for owner, places in enumerate(kept):
            dims = (torch.tensor(places)[:, None] * width + torch.arange(width)).flatten()
            for last in (*into, out):
                name = f"{blocks}.{owner}.{last}"
                old, new = theirs[name], small.get_submodule(name)
                outputs, inputs = (None, dims) if last == out else (dims, None)
                _fill_pruned(new, old, outputs, inputs, name)
    return small.train(bert.training)


def _fill_pruned(new: nn.Module, old: nn.Module, outputs: Tensor | None, inputs: Tensor | None, name: str) -> None:
    """Puts some rows (`outputs`) or columns (`inputs`) of the linear `old` into `new`."""

    def some(weight: Tensor) -> Tensor:
        dims = outputs if outputs is not None else inputs
        assert dims is not None
        return weight.index_select(0 if outputs is not None else 1, dims.to(weight.device))

    bias = cast(nn.Linear, old).bias.detach()
    bias = some(bias[:, None])[:, 0] if outputs is not None else bias
    if isinstance(new, FactorisedLinear) and isinstance(old, FactorisedLinear):
        first, second = dense_weight(old.first), dense_weight(old.second)
        first, second = (first, some(second)) if outputs is not None else (some(first), second)
        _fill_linear(new.first, first, None, nn.Identity(), f"{name}.first")
        _fill_linear(new.second, second, bias, nn.Identity(), f"{name}.second")
    else:
        _fill_linear(new, some(dense_weight(old)), bias, nn.Identity(), name)
