"""How important heads and neurons are, and which of them stay."""

import numpy as np
import pytest
import torch

from engine.inspection import importance
from engine.inspection.importance import first_order_importance, most_important, proportional_counts
from tests.fixtures.builders import masked_batch, teacher


@pytest.mark.parametrize("sharing", ["none", "all"])
@pytest.mark.parametrize("part", ["attention", "ffn"])
def test_importance_is_the_gradient_of_a_mask(part, sharing):
    """Harm: heads are ranked by something else than the paper's |dL/dxi|, row by row. Slow loop over rows and masks."""
    guide, batch = teacher(sharing=sharing, family="albert" if sharing == "all" else "bert"), masked_batch()
    found = first_order_importance(guide, part, [batch])
    blocks = [b.output for b in guide.attentions] if part == "attention" else [f.down for f in guide.ffns]
    count, width = (4, 4) if part == "attention" else (24, 1)
    masks = [torch.ones(count, requires_grad=True) for _ in blocks]
    hooks = [
        block.register_forward_pre_hook(lambda module, inputs, m=mask: (inputs[0] * m.repeat_interleave(width),))
        for block, mask in zip(blocks, masks, strict=True)
    ]
    sums = [np.zeros(count) for _ in blocks]
    for row in batch.split(len(batch.ids)):
        out = guide(row.ids, row.visible, positions=row.positions)
        loss = torch.nn.functional.cross_entropy(out, row.targets, reduction="sum")
        for total, gradient in zip(sums, torch.autograd.grad(loss, masks), strict=True):
            total += np.abs(gradient.numpy())
    for hook in hooks:
        hook.remove()
    assert len(found) == len(blocks)
    for score, total in zip(found, sums, strict=True):
        np.testing.assert_allclose(score.numpy(), total / len(batch.ids), rtol=1e-3, atol=1e-6)
    assert not any(list(block._forward_pre_hooks) for block in blocks)


def test_neurons_by_weights_are_ranked_by_both_their_sides():
    """Harm: a neuron that is read by nobody is taken for important because it hears much."""
    guide = teacher()
    with torch.no_grad():
        guide.ffns[0].down.weight[:, 7] = 0
        guide.ffns[1].up.weight[3] *= 100
    scores = importance.weight_norm_importance(guide)
    assert scores[0][7] == 0
    assert int(scores[1].argmax()) == 3


def test_the_least_important_leave_and_every_block_keeps_one():
    """Harm: ranked the wrong way round; or a layer without any head, which cannot be built."""
    scores = [torch.tensor([0.1, 9.0, 0.2]), torch.tensor([0.01, 0.02, 0.03])]
    assert most_important(scores, [2, 1]) == [[1, 2], [2]]
    assert most_important(scores, 3, normalise=False) == [[1, 2], [2]]
    assert most_important(scores, 2, normalise=False) == [[1], [2]]
    assert most_important(scores, 4) == [
        [1],
        [0, 1, 2],
    ]  # by the paper's norm a layer of small gradients counts as much


@pytest.mark.parametrize(("sizes", "left"), [([4, 4, 4], 7), ([1, 12, 3], 5), ([5], 2), ([1, 1], 2), ([9, 2], 11)])
def test_a_guess_at_what_stays_has_the_right_sum(sizes, left):
    """Harm: the count on the build page is off by a head."""
    found = proportional_counts(sizes, left)
    assert sum(found) == left
    assert all(1 <= got <= size for got, size in zip(found, sizes, strict=True))
