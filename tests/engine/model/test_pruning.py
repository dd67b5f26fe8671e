"""Laws of pruned models: what is left computes what it should."""

import pytest
import torch

from engine.model.pruning import convert, prune, pruned_shape
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from tests.fixtures.builders import teacher
from tests.fixtures.compressed import logits


def zeroed(guide, part, kept):
    """The guide with the outputs of everything that is not kept at zero, by a hook."""
    width = guide.shape.head_dim if part == "attention" else 1
    blocks = [block.output for block in guide.attentions] if part == "attention" else [ffn.down for ffn in guide.ffns]
    hooks = []
    for block, places in zip(blocks, kept, strict=True):
        mask = torch.zeros(guide.shape.inner if part == "attention" else guide.shape.ffn)
        for place in places:
            mask[place * width : (place + 1) * width] = 1
        hooks.append(block.register_forward_pre_hook(lambda module, inputs, mask=mask: (inputs[0] * mask,)))
    return hooks


@pytest.mark.parametrize(("part", "kept"), [("attention", [[1, 3], [0]]), ("ffn", [[0, 5, 23], list(range(2, 20))])])
@pytest.mark.parametrize("rank", [0, 6])
def test_what_is_left_computes_what_the_whole_computes_without_the_rest(part, kept, rank):
    """Harm: rows of one head end up with columns of another; or a factorised model is cut in its middle."""
    guide = convert(teacher(), Shape(**{**vars(teacher().shape), "rank": rank})).eval()
    small = prune(guide, part, kept)
    assert parameters(small.shape) == sum(p.numel() for p in small.parameters()) < parameters(guide.shape)
    found = logits(small)
    hooks = zeroed(guide, part, kept)
    torch.testing.assert_close(found, logits(guide), rtol=0, atol=1e-4)
    for hook in hooks:
        hook.remove()


def test_shared_layers_lose_their_heads_together():
    """Harm: an ALBERT is cut in one layer and asked for all its heads in the next."""
    guide = teacher(layers=4, family="albert", sharing="all", groups=2, embedding=8)
    small = prune(guide, "attention", [[0, 2], [1]])
    assert small.shape.layer_heads == (2, 2, 1, 1)
    hooks = zeroed(guide, "attention", [[0, 2], [1]])
    torch.testing.assert_close(logits(small), logits(guide), rtol=0, atol=1e-4)
    assert len(hooks) == 2


def test_cut_shapes_follow_sharing():
    """Harm: the third group's heads are counted for the second."""
    shape = Shape(layers=5, hidden=16, heads=4, family="albert", sharing="attention", groups=2)
    assert pruned_shape(shape, "attention", [3, 1]).layer_heads == (3, 3, 3, 1, 1)
    assert pruned_shape(shape, "attention", [2, 2]).heads == 2
    assert pruned_shape(shape, "ffn", [5, 4, 3, 2, 1]).layer_ffn == (5, 4, 3, 2, 1)
