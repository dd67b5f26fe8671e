"""The baseline of the bench of WID: compactors as layers on the activations, as the release of the paper has them.

heir.py multiplies compactors into the weights instead. Paper: arXiv 2305.09098.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model.bert import Bert, LayerNorm
from engine.sizing.shape import Shape


class ActivationSpace(nn.Module):
    """WID as its authors' release formulates it: every compactor is a linear layer on the activations.

    Written anew for this measurement; computes what Heir computes before anything closes. On its own it differs from
    Heir in nothing but the place of the compactors. `as_released` adds what else a step of the release does: dropout
    on the stream, LayerNorm spelled out, every compactor's norms taken and every compactor pulled by its own value
    (see Variant.train_step), and an optimizer that goes tensor by tensor.
    """

    def __init__(self, teacher: Bert, as_released: bool) -> None:
        super().__init__()
        self.bert, self.as_released = teacher, as_released
        shape = teacher.shape
        for layer in range(shape.layers):
            attention, ffn = teacher.blocks(layer)
            for name in ("query", "key", "value", "output"):
                setattr(attention, name, _between(getattr(attention, name)))
            ffn.up, ffn.down = _between(ffn.up), _between(ffn.down)
        assert teacher.head is not None
        teacher.head.transform = _between(teacher.head.transform)
        self.column = nn.Parameter(torch.eye(shape.hidden))
        self.row = nn.Parameter(torch.eye(shape.hidden))
        if as_released:
            for name, module in teacher.named_modules():
                if isinstance(module, LayerNorm):
                    module.keep = torch.ones(len(module.weight))
                if name == "embeddings" or name.endswith((".output", ".down")):
                    module.register_forward_hook(_dropout)

    def forward(self, *args: Any, **kwargs: Any) -> Tensor:
        """As Bert.forward."""
        assert self.bert.head is not None
        self.bert.embeddings.compactor, self.bert.head.compactor = self.column, self.row
        return self.bert(*args, **kwargs)

    def compactors(self) -> Iterator[nn.Parameter]:
        """Every compactor: the square matrices among the parameters that are not the teacher's."""
        yield from (self.column, self.row)
        for module in self.bert.modules():
            if isinstance(module, nn.Sequential):
                yield from (*module[0].parameters(), *module[2].parameters())


def _dropout(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
    return F.dropout(output, 0.1, training=module.training)


def _between(linear: nn.Linear) -> Any:
    """`linear` with a row compactor before it and a column compactor behind it."""
    row, column = (nn.Linear(size, size, bias=False) for size in (linear.in_features, linear.out_features))
    nn.init.eye_(row.weight)
    nn.init.eye_(column.weight)
    return nn.Sequential(row, linear, column)


def activation_multiply_adds(shape: Shape, tokens: int, length: int, predicted: int) -> int:
    """Multiply-adds of a forward pass of ActivationSpace: each linear with its two square neighbours."""
    hidden, inner, ffn = shape.hidden, shape.inner, shape.ffn

    def three(inputs: int, outputs: int) -> int:
        return inputs**2 + inputs * outputs + outputs**2

    layer = 3 * three(hidden, inner) + three(inner, hidden) + three(hidden, ffn) + three(ffn, hidden)
    encoder = hidden**2 + shape.layers * (layer + 2 * length * inner)
    return tokens * encoder + predicted * (three(hidden, hidden) + hidden**2 + hidden * shape.vocab)
