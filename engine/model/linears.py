"""Linears and word tables that are not one float32 matrix: two factors, or int8.

Int8 is symmetric, with a scale for each row of a weight, found once, and for each token of what is multiplied with it,
found as it passes ("dynamic"): y = (Q_x Q_W^T) s_x s_W + b, the product exact in integers (the vector-wise scheme of
arXiv 2208.07339, section 2, without its outlier columns).

Ours, because of the libraries' two ways one is deprecated with its tensors (torch.ao.quantization), and the other
(torchao) takes several times as long as float32 at these sizes unless it is compiled (see LOG.md).
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.settings.device import full_precision

LEVELS = 127  # -127 to 127: symmetric, so that a sign costs nothing
LEAST_INTEGER_WIDTH = 16  # thinner matrices are multiplied as floats: torch 2.13's CPU kernel is wrong for a width of 1
BLOCK_SIZE = 1 << 17  # numbers of a product that are made at a time on a CPU: 512 kB, which its second cache holds
SMALLEST_AMAX = 1e-30  # a row of zeros gets a scale all the same


class FactorisedLinear(nn.Module):
    """A linear that is the product of two: `rank` dims lie between them."""

    def __init__(self, first: nn.Module, second: nn.Module) -> None:
        """`first` has no bias."""
        super().__init__()
        self.first, self.second = first, second

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return self.second(self.first(x))

    @property
    def weight(self) -> Tensor:
        """(out, in): the product of both, for those who need a plain linear's weight."""
        return cast(nn.Linear, self.second).weight @ cast(nn.Linear, self.first).weight

    @property
    def bias(self) -> Tensor:
        """(out,)."""
        return cast(nn.Linear, self.second).bias


class Int8Linear(nn.Module):
    """A linear whose weight is int8 and does not learn."""

    def __init__(self, wide: int, out: int, bias: bool = True) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(out, wide, dtype=torch.int8), requires_grad=False)
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(out))
        self.bias = nn.Parameter(torch.zeros(out)) if bias else None

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out) float32."""
        return int8_product(x, self.weight, self.scale, self.bias)


class Int8Embedding(nn.Module):
    """A word table of int8 rows, which also decodes."""

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(rows, width, dtype=torch.int8), requires_grad=False)
        self.scale: Tensor
        self.register_buffer("scale", torch.ones(rows))

    def forward(self, ids: Tensor) -> Tensor:
        """ids (...) -> (..., width) float32."""
        return F.embedding(ids, self.weight).float() * self.scale[ids][..., None]

    def decode(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (..., width), bias (rows,) -> logits (..., rows)."""
        return int8_product(x, self.weight, self.scale, bias)


class FakeQuantLinear(nn.Linear):
    """A float32 linear that computes what its int8 form will compute, and learns as if nothing were rounded.

    The straight-through estimator (Bengio et al. 2013, arXiv 1308.3432), as quantisation-aware training uses it
    (Zafrir et al. 2019, Q8BERT, arXiv 1910.06188).
    """

    def forward(self, x: Tensor) -> Tensor:
        """(..., in) -> (..., out)."""
        return F.linear(fake_quantize(x), fake_quantize(self.weight), self.bias)


class FakeQuantEmbedding(nn.Embedding):
    """A float32 word table that is looked up and decodes as its int8 form will."""

    def forward(self, ids: Tensor) -> Tensor:
        """ids (...) -> (..., width)."""
        return F.embedding(ids, fake_quantize(self.weight))

    def decode(self, x: Tensor, bias: Tensor) -> Tensor:
        """x (..., width), bias (rows,) -> logits (..., rows)."""
        return F.linear(fake_quantize(x), fake_quantize(self.weight), bias)


def make_linear(wide: int, out: int, rank: int = 0, bits: int = 32, bias: bool = True) -> nn.Linear:
    """A linear from `wide` to `out` dims, whole or with a `rank`, its weights float32 or int8 (`bits` 32 or 8).

    Whatever it is, it is called like an nn.Linear, and that is what its type says.
    """
    if rank:
        first, second = make_linear(wide, rank, bits=bits, bias=False), make_linear(rank, out, bits=bits, bias=bias)
        return cast(nn.Linear, FactorisedLinear(first, second))
    return cast(nn.Linear, Int8Linear(wide, out, bias)) if bits == 8 else nn.Linear(wide, out, bias)


def to_int8(matrix: Tensor) -> tuple[Tensor, Tensor]:
    """(out, in) float -> int8 of the same shape and a scale (out,) float32, each row's largest value being 127."""
    scale = matrix.float().abs().amax(-1).clamp_min(SMALLEST_AMAX) / LEVELS
    return (matrix.float() / scale[..., None]).round().to(torch.int8), scale


def from_int8(matrix: Tensor, scale: Tensor) -> Tensor:
    """(out, in) int8, (out,) -> (out, in) float32."""
    return matrix.float() * scale[..., None]


def dense_weight(module: nn.Module) -> Tensor:
    """The weight (out, in), or the table (rows, width), of a linear or embedding of any kind, in float32."""
    if isinstance(module, Int8Linear | Int8Embedding):
        return from_int8(module.weight, module.scale)
    if isinstance(module, FactorisedLinear):
        return dense_weight(module.second) @ dense_weight(module.first)
    return cast(nn.Linear, module).weight.detach().float()


def fake_quantize(matrix: Tensor) -> Tensor:
    """(..., in) -> the same, every row on its int8 grid; the gradient passes as if it were not."""
    with torch.no_grad():
        scale = matrix.float().abs().amax(-1, keepdim=True).clamp_min(SMALLEST_AMAX) / LEVELS
        off = (matrix.float() / scale).round() * scale - matrix
    return matrix + off.to(matrix.dtype)


@torch.no_grad()
def int8_product(x: Tensor, weight: Tensor, scale: Tensor, bias: Tensor | None) -> Tensor:
    """x (..., in) float, weight (out, in) int8, scale (out,), bias (out,) -> (..., out) float32, no gradient.

    The product itself takes a fourth of a float32 one's time; all the rest is passes over memory. So nothing is made
    twice, and a large result is filled piece by piece (`python -m engine bench int8`).
    """
    rows = x.reshape(-1, x.shape[-1]).float()
    own = torch.maximum(rows.amax(-1, keepdim=True), -rows.amin(-1, keepdim=True))  # (row, 1), without a copy for abs
    own = own.clamp_min_(SMALLEST_AMAX).div_(LEVELS)
    grid = (rows * own.reciprocal()).round_()
    if _multiplies_int8(x.device.type, len(rows), *weight.shape):
        grid, result = grid.to(torch.int8), grid.new_empty(len(rows), len(weight))
        for some, outs in _blocks(x.device.type, *result.shape):
            result[some, outs].copy_(torch._int_mm(grid[some], weight[outs].t()))
            _scale(result[some, outs], own[some], scale[outs], None if bias is None else bias[outs])
    else:
        with full_precision(x.device.type):  # whole numbers below 2^24 are exact in float32
            result = grid @ weight.float().t()
        _scale(result, own, scale, bias)
    return result.unflatten(0, x.shape[:-1])


def _scale(product: Tensor, own: Tensor, scale: Tensor, bias: Tensor | None) -> None:
    """Turns a product (row, out) of whole numbers into what they stand for: own (row, 1), scale and bias (out,)."""
    product.mul_(own)
    if bias is None:
        product.mul_(scale)
    else:
        torch.addcmul(bias, product, scale, out=product)


def _blocks(device: str, rows: int, outs: int) -> Iterator[tuple[slice, slice]]:
    """A product's (row, out) in blocks that a processor's cache holds: of rows, or of outputs where those are many.

    A GPU takes it whole.
    """
    if device != "cpu" or rows * outs <= BLOCK_SIZE:
        yield slice(0, rows), slice(0, outs)
    elif outs <= BLOCK_SIZE // 32:
        step = BLOCK_SIZE // outs
        yield from ((slice(start, start + step), slice(0, outs)) for start in range(0, rows, step))
    else:
        step = max(64, BLOCK_SIZE // rows)
        yield from ((slice(0, rows), slice(start, start + step)) for start in range(0, outs, step))


def _multiplies_int8(device: str, rows: int, out: int, wide: int) -> bool:
    """Whether the device multiplies int8 matrices of these sizes, and faster than as floats."""
    if device == "cuda":
        return rows > 16 and not out % 8 and not wide % 8 and _gpu_multiplies_int8()  # what its kernel takes
    return device == "cpu" and min(out, wide) >= LEAST_INTEGER_WIDTH and _cpu_multiplies_int8()


@functools.cache
def _gpu_multiplies_int8() -> bool:
    """Whether this GPU and this build of torch have an int8 product; tried once, for neither tells beforehand."""
    ones = torch.ones(32, 32, dtype=torch.int8, device="cuda")
    try:
        return bool((torch._int_mm(ones, ones.t()) == 32).all())
    except (AttributeError, RuntimeError):  # an older GPU, another vendor's
        return False


@functools.cache
def _cpu_multiplies_int8() -> bool:
    """Whether this processor has instructions for int8 products (AVX-512 VNNI); without, torch's are slow loops."""
    return hasattr(torch, "_int_mm") and bool(getattr(torch.cpu, "_is_vnni_supported", lambda: False)())
