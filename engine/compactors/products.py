"""Products of a linear with the compactors on its two sides: C @ W @ R and C @ b, forward and backward.

Pure algebra on tensors; engine/compactors/heir.py knows whose they are.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


class _EffectiveWeight(torch.autograd.Function):
    """C @ W @ R and C @ b by one association, and a backward pass of four products and no more.

    Left to autograd, the library's multi_dot would form both C @ W and W @ R on its way back, and C @ b would give C a
    second gradient of its own size. Here b is one more column of what C multiplies.
    """

    @staticmethod
    def forward(ctx: Any, column: Tensor, weight: Tensor, row: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
        ctx.column_first = left_first(*column.shape, *row.shape)
        right = _beside(weight if ctx.column_first else weight @ row, bias)
        mixed = column @ right
        left = mixed[:, :-1]
        ctx.save_for_backward(column, weight, row, right, left)
        return left @ row if ctx.column_first else left, mixed[:, -1]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor, bias_gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        column, weight, row, right, left = ctx.saved_tensors
        of_mixed = _beside(gradient @ row.T if ctx.column_first else gradient, bias_gradient)
        of_right = column.T @ of_mixed
        of_left, of_bias = of_right[:, :-1], of_right[:, -1]
        if ctx.column_first:
            of_weight, of_row = of_left, left.T @ gradient
        else:
            of_weight, of_row = of_left @ row.T, weight.T @ of_left
        return of_mixed @ right.T, of_weight, of_row, of_bias


def _beside(matrix: Tensor, vector: Tensor) -> Tensor:
    """`vector` as the last column of `matrix`."""
    return torch.cat([matrix, vector[:, None]], 1)


def effective_weight(column: Tensor, weight: Tensor, row: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """(C @ W @ R, C @ b) of (kept_out, out), (out, wide), (wide, kept_in) and (out,), by the cheaper association.

    What is cheaper forward is cheaper backward: every product has two of its own size there.
    """
    effective: tuple[Tensor, Tensor] = _EffectiveWeight.apply(column, weight, row, bias)
    return effective


def left_first(kept_out: int, out: int, wide: int, kept_in: int) -> bool:
    """Whether (C @ W) @ R costs at most as many multiply-adds as C @ (W @ R)."""
    return kept_out * wide * (out + kept_in) <= out * kept_in * (wide + kept_out)
