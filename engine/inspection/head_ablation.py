"""How much a model loses without each of its heads: the change of its masked-LM loss, hidden word by hidden word."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from engine.inspection.head_roles import Progress
from engine.inspection.interventions import all_heads, head_counts, intervened
from engine.learning.intervals import clustered_interval
from engine.model.bert import Bert, Trace
from engine.sizing.shape import ShapeError
from engine.text.masking import Batch


@dataclass(frozen=True)
class HeadAblation:
    """The same hidden words, asked of a model as it is and without each of its heads."""

    heads: list[tuple[int, int]]  # (layer, head), from 0
    base: np.ndarray  # (word,) loss as it is, nats
    change: np.ndarray  # (head, word) loss without the head minus `base`, nats: above 0 the head is missed
    row: np.ndarray  # (word,) which row of text a word is of
    targets: np.ndarray  # (word,) the true tokens

    @property
    def means(self) -> np.ndarray:
        """(head,) mean change of the loss, nats a hidden word."""
        return self.change.mean(1)

    @property
    def intervals(self) -> np.ndarray:
        """(head,) half the 95% interval of each mean; rows are what was drawn, every word is its own control.

        Not a number where a single row tells none.
        """
        widths = [clustered_interval(change.astype(np.float64), self.row) for change in self.change]
        return np.array(widths, dtype=np.float64)

    def by_layer(self) -> np.ndarray:
        """(layer, head) the means; not a number where a layer has fewer heads."""
        layers, heads = (1 + max(place[axis] for place in self.heads) for axis in (0, 1))
        table = np.full((layers, heads), np.nan)
        for (layer, head), mean in zip(self.heads, self.means, strict=True):
            table[layer, head] = mean
        return table

    def of_layer(self, layer: int) -> np.ndarray:
        """(head of the layer, word) the changes."""
        return self.change[[place for place, (at, _) in enumerate(self.heads) if at == layer]]


@torch.no_grad()
def ablate_heads(
    bert: Bert, batches: Sequence[Batch], how: str = "off", progress: Progress | None = None
) -> HeadAblation:
    """What switching off each head of `bert`, one at a time, does to its loss on `batches`.

    Layers below a head stay as they are and are computed once.

    Raises:
        ShapeError: the model has no masked-LM head.
        InterventionError: as engine.inspection.interventions.
    """
    if bert.head is None:
        raise ShapeError(["This model has no masked-LM head, so nothing can be asked of it; give its shape mlm_head."])
    heads, counts = all_heads(bert), head_counts(bert)
    bases, changes, rows, targets, done = [], [], [], [], 0
    seen_rows = 0
    for batch in batches:
        trace: Trace = {"hidden": []}
        tables: list[Any] = []  # the decoder's, as the model hands it over
        hook = bert.head.register_forward_pre_hook(lambda head, inputs: tables.append(inputs[1]))  # noqa: B023
        logits = bert(batch.ids, batch.visible, positions=batch.positions, trace=trace)
        hook.remove()
        base = F.cross_entropy(logits.float(), batch.targets, reduction="none")
        change = torch.empty(len(heads), len(base))
        for place, (layer, head) in enumerate(heads):
            with intervened(bert, [(layer, head)], how) as forward:
                forward.next_layer = layer
                x = run_from_layer(bert, trace["hidden"][layer], batch.visible, layer)
            logits = bert.head(x.flatten(0, 1)[batch.positions], tables[0])
            change[place] = F.cross_entropy(logits.float(), batch.targets, reduction="none") - base
            done += 1
            if progress and head == counts[layer] - 1:
                progress(done / (len(batches) * len(heads)))
        bases.append(base)
        changes.append(change)
        rows.append(batch.positions // batch.ids.shape[1] + seen_rows)
        targets.append(batch.targets)
        seen_rows += len(batch.ids)
    joined = (torch.cat(parts, -1).numpy() for parts in (bases, changes, rows, targets))
    return HeadAblation(heads, *joined)


def run_from_layer(bert: Bert, x: torch.Tensor, visible: torch.Tensor | None, layer: int) -> torch.Tensor:
    """The last hidden states of `bert` when `layer` (from 0) is given `x` (batch, pos, hidden)."""
    mask = None if visible is None else visible[:, None, None, :].bool()
    for index in range(layer, bert.shape.layers):
        attention, ffn = bert.blocks(index)
        x = ffn(attention(x, mask, {}))
    return x


def ablation_correlation(heir: HeadAblation, ancestor: HeadAblation, layer: int, ancestor_layer: int) -> np.ndarray:
    """(head of the heir's layer, head of the ancestor's) Pearson's correlation over words of what their absence does.

    Raises:
        ValueError: the two were not asked for the same words.
    """
    if len(heir.targets) != len(ancestor.targets) or (heir.targets != ancestor.targets).any():
        raise ValueError("Damage can be compared over the same hidden words only; ask both models for the same rows.")
    a, b = (_standardised(found) for found in (heir.of_layer(layer), ancestor.of_layer(ancestor_layer)))
    return a @ b.T


def _standardised(values: np.ndarray) -> np.ndarray:
    centred = values.astype(np.float64) - values.mean(1, keepdims=True)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return centred / np.where(length > 0, length, 1.0)
