"""Interventions: heads of a model switched off, or made to look everywhere alike, while a `with` block runs.

"off" takes a head's contribution away (Michel et al., Are Sixteen Heads Really Better than One?, arXiv 1905.10650);
"uniform" leaves what it brings but not where it looks: its attention is spread evenly over the tokens that are visible.

Done by hooks on the linears around attention, so the model's own code has no switch, its fused attention stays, and
nothing is left behind. A model is changed for everybody who uses it meanwhile: not for two threads at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.inspection.attention_divergence import jensen_shannon
from engine.model.bert import Attention, Bert
from engine.text.masking import Batch

INTERVENTIONS = {
    "off": "what it brings is taken away",
    "uniform": "it looks at all tokens alike, and brings their mean",
}


class InterventionError(ValueError):
    """A head that is not there or cannot be changed so, in one sentence."""


@dataclass
class ForwardPass:
    """Where the forward pass is: shared layers are one module, and only the count of calls tells them apart."""

    next_layer: int = 0  # set it to begin a pass in the middle
    layer: int = 0
    visible: Tensor | None = None
    value: Tensor | None = field(default=None, repr=False)


def head_counts(bert: Bert) -> list[int]:
    """How many heads each layer has."""
    return [bert.blocks(layer)[0].heads for layer in range(bert.shape.layers)]


def all_heads(bert: Bert) -> list[tuple[int, int]]:
    """Every (layer, head) of `bert`, from 0."""
    return [(layer, head) for layer, count in enumerate(head_counts(bert)) for head in range(count)]


@contextmanager
def intervened(bert: Bert, heads: Iterable[tuple[int, int]], how: str = "off") -> Iterator[ForwardPass]:
    """While the block runs, the `heads` (layer, head), from 0, of `bert` are changed as WAYS[how] says.

    Raises:
        InterventionError: a head is not there, or there is no such way.
    """
    chosen: dict[int, set[int]] = {}
    counts = head_counts(bert)
    for layer, head in heads:
        if not (0 <= layer < len(counts) and 0 <= head < counts[layer]):
            raise InterventionError(f"There is no layer {layer + 1}, head {head + 1} in a model of {bert.shape}.")
        chosen.setdefault(layer, set()).add(head)
    if how not in INTERVENTIONS:
        raise InterventionError(f"A head can be changed by {' or '.join(INTERVENTIONS)}, got {how[:40]!r}.")
    forward = ForwardPass()

    def start(*_: Any) -> None:
        forward.next_layer = 0

    def enter(module: nn.Module, inputs: tuple[Any, ...]) -> None:
        forward.layer, forward.next_layer = forward.next_layer, forward.next_layer + 1
        forward.visible = inputs[1]

    def keep_value(module: nn.Module, inputs: Any, output: Tensor) -> None:
        forward.value = output

    def change(heads_here: int) -> Any:
        def changed(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...] | None:
            wanted = chosen.get(forward.layer)
            if not wanted:
                return None
            mixed = inputs[0].unflatten(-1, (heads_here, -1)).clone()  # (batch, pos, head, head_dim)
            places = torch.tensor(sorted(wanted), device=mixed.device)
            if how == "off":
                mixed[:, :, places] = 0
            else:
                assert forward.value is not None
                mixed[:, :, places] = _visible_mean(forward.value.unflatten(-1, (heads_here, -1)), forward.visible)[
                    :, :, places
                ]
            return (mixed.flatten(2), *inputs[1:])

        return changed

    hooks = [bert.embeddings.register_forward_hook(start)]
    try:
        for module in bert.attentions:
            assert isinstance(module, Attention)
            hooks.append(module.register_forward_pre_hook(enter))
            hooks.append(module.output.register_forward_pre_hook(change(module.heads)))
            if how == "uniform":
                hooks.append(module.value.register_forward_hook(keep_value))
        yield forward
    finally:
        for hook in hooks:
            hook.remove()
        forward.value = forward.visible = None


def _visible_mean(value: Tensor, visible: Tensor | None) -> Tensor:
    """The mean of `value` (batch, pos, head, head_dim) over visible positions, at every position."""
    if visible is None:
        return value.mean(1, keepdim=True).expand_as(value)
    weight = visible[:, 0, 0, :, None, None].to(value.dtype)  # (batch, pos, 1, 1)
    return ((value * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True)).expand_as(value)


@torch.no_grad()
def masked_word_losses(bert: Bert, batches: Sequence[Batch]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Of each hidden word of `batches`: (the loss in nats, whether the first candidate is right, its row of text)."""
    losses, right, rows, seen_rows = [], [], [], 0
    for batch in batches:
        logits = bert(batch.ids, batch.visible, positions=batch.positions).float()
        losses.append(F.cross_entropy(logits, batch.targets, reduction="none"))
        right.append(logits.argmax(-1) == batch.targets)
        rows.append(batch.positions // batch.ids.shape[1] + seen_rows)
        seen_rows += len(batch.ids)
    return torch.cat(losses).double().numpy(), torch.cat(right).numpy(), torch.cat(rows).numpy()


def attention_shift(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    """(layer, head) how far attention (layer, head, pos, pos) has moved: Jensen-Shannon divergence, bits, row mean."""
    return jensen_shannon(before, after).mean(-1)
