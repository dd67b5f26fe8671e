"""Laws of head and FFN pruning: what is left computes what it should, and the least important leave."""

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from engine.inspection import importance
from engine.inspection.importance import first_order_importance, most_important, proportional_counts
from engine.model.pruning import convert, prune
from engine.model.transformers_format import transformers_objections
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape
from tests.fixtures.builders import finish, masked_batch, new_run, teacher, tiny
from tests.fixtures.compressed import logits, student_of


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


def test_evenly_pruned_ffns_are_an_ordinary_bert():
    """Harm: a student that every library can run is locked into this app."""
    _, shape, student = student_of("ffn_pruning", teacher(), ranking="layer", importance="weights")
    assert (shape.ffn, shape.compressions) == (12, [])
    assert not transformers_objections(student.shape)


def test_a_healed_run_goes_on_where_it_stopped(few_held_out, tmp_path):
    """Harm: after a resume other heads are gone than before, or weights meet the wrong heads."""
    config = tiny("head_pruning", steps=6, options={"share": 0.5, "batches": 2}, checkpoints=1, evaluations=1)
    whole, run = new_run(tmp_path, config), new_run(tmp_path, config)
    finish(config, whole)
    from engine.training.loop import train

    for event in train(config, run):
        if event["kind"] == "step" and event["step"] == 2:
            run.request_stop()
    run.clear_stop()
    finish(config, run)
    one, two = (load_file(each.student_dir / "model.safetensors") for each in (whole, run))
    assert one.keys() == two.keys()
    assert all(torch.equal(one[name], two[name]) for name in one)
    kept = load_file(run.student_dir / "lineage.safetensors")
    layers = Shape.from_json(run.card()["shape"])
    assert [len(kept[f"kept.attention.{i}"]) for i in range(4)] == [layers.heads_of(i) for i in range(4)]
