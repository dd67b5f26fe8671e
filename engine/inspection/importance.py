"""How much a model's loss would change without one of its heads or FFN neurons, and which of them stay.

First order: a part's output times the gradient that arrives at it is what the loss would lose if the part were zero, as
far as a straight line can tell. For heads this is the gradient of a mask of ones (Michel et al. 2019, Are Sixteen Heads
Really Better than One?, arXiv 1905.10650, section 4.1); for neurons Molchanov et al. 2016, arXiv 1611.06440.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from engine.model.bert import Bert, FeedForward
from engine.model.linears import dense_weight
from engine.model.pruning import Kept
from engine.text.masking import Batch

RANKINGS = ("global", "layer")


def first_order(bert: Bert, part: str, batches: Iterable[Batch]) -> list[Tensor]:
    """The importance of every head ("attention") or neuron ("ffn"), a tensor (head,) or (neuron,) a block, on the CPU.

    The mean over the rows x of all batches of |sum over positions of output . dLoss(x)/doutput|, with the masked-LM
    loss summed over a row's hidden words. A block that several layers share has one mask: its uses are added up first.
    """
    last = "output" if part == "attention" else "down"
    blocks = [block.get_submodule(last) for block in (bert.attentions if part == "attention" else bert.ffns)]
    width = bert.shape.head_dim if part == "attention" else 1
    seen: list[list[Tensor]] = [[] for _ in blocks]
    hooks = [block.register_forward_pre_hook(_keeps(into)) for block, into in zip(blocks, seen, strict=True)]
    sums: list[Tensor] = []
    rows = 0
    try:
        for batch in batches:
            logits = bert(batch.ids, batch.visible, positions=batch.positions)
            loss = F.cross_entropy(logits, batch.targets, reduction="sum")
            outputs = [output for uses in seen for output in uses]
            gradients = iter(torch.autograd.grad(loss, outputs))
            for place, uses in enumerate(seen):
                change = sum(  # (row, head or neuron)
                    ((use.detach() * next(gradients)).sum(1).unflatten(-1, (-1, width)).sum(-1) for use in uses),
                    torch.zeros((), device=loss.device),
                )
                total = change.abs().double().sum(0)
                if place < len(sums):
                    sums[place] += total
                else:
                    sums.append(total)
                uses.clear()
            rows += len(batch.ids)
    finally:
        for hook in hooks:
            hook.remove()
    return [(total / max(1, rows)).float().cpu() for total in sums]


def _keeps(into: list[Tensor]) -> Callable[[nn.Module, tuple[Tensor]], None]:
    def hook(module: nn.Module, inputs: tuple[Tensor]) -> None:
        into.append(inputs[0])

    return hook


def weight_norms(bert: Bert) -> list[Tensor]:
    """The importance of every neuron by its weights alone: the product of the L2 norms of what it reads and writes."""
    found = []
    for module in bert.ffns:
        assert isinstance(module, FeedForward)
        found.append((dense_weight(module.up).norm(dim=1) * dense_weight(module.down).norm(dim=0)).cpu())
    return found


def choose(scores: Sequence[Tensor], left: Sequence[int] | int, normalise: bool = True) -> Kept:
    """Which parts stay: the most important ones, rising; every block keeps at least one.

    `left`: how many stay in each block, or in all together, ranked against one another; `normalise` then divides the
    scores of a block by their L2 norm, as both papers do, for gradients are larger in some layers than in others.
    """
    if not isinstance(left, int):
        return [_best(score, count) for score, count in zip(scores, left, strict=True)]
    if normalise:
        scores = [score / score.norm().clamp_min(1e-30) for score in scores]
    sure = [_best(score, 1) for score in scores]
    rest = sorted(
        (-float(value), block, place)
        for block, score in enumerate(scores)
        for place, value in enumerate(score.tolist())
        if place not in sure[block]
    )
    for _, block, place in rest[: left - len(sure)]:
        sure[block].append(place)
    return [sorted(places) for places in sure]


def _best(score: Tensor, count: int) -> list[int]:
    return sorted(score.argsort(descending=True, stable=True)[:count].tolist())


def shared_out(sizes: Sequence[int], left: int) -> list[int]:
    """`left` parts spread over blocks of `sizes` in proportion, at least one each: a guess at what a ranking will give.

    The sum is exact: `left` must be between the number of blocks and the sum of `sizes`.
    """
    total, blocks = sum(sizes), len(sizes)
    found = [1 + (left - blocks) * (size - 1) // max(1, total - blocks) for size in sizes]
    for place in sorted(range(blocks), key=lambda block: (found[block] - sizes[block], block)):
        if sum(found) < left and found[place] < sizes[place]:
            found[place] += 1
    return found
