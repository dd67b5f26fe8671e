import numpy as np
import pytest
import torch
import torch.nn.functional as F

from engine.model.bert import Bert, LayerNorm, fused_attention_is_slow, new_bert
from engine.sizing.cost import parameters
from engine.sizing.shape import Shape, ShapeError
from tests.fixtures.builders import masked_batch, randomise, teacher

SMALL = {"layers": 2, "hidden": 12, "heads": 3, "ffn": 20, "vocab": 40, "positions": 16}


@pytest.mark.parametrize(
    "shape",
    [
        Shape(),
        Shape(layers=2, hidden=516, heads=8, head_dim=64, tied=False),
        Shape(layers=3, pooler=True, pair_head=True, token_types=0, mlm_head=False),
        Shape(layers=3, embedding=128, sharing="attention"),
        Shape(layers=4, embedding=128, sharing="ffn", groups=2),
        Shape(layers=12, family="albert", embedding=128, sharing="all", groups=3, pooler=True),
        Shape(layers=2, family="albert", embedding=64, sharing="none", tied=False),
    ],
    ids=str,
)
def test_the_model_has_as_many_parameters_as_the_calculator_says(shape):
    """Harm: the size page promises one count and the trained student has another."""
    with torch.device("meta"):
        model = Bert(shape)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters(shape)


def test_logits_at_positions_are_those_of_the_full_output():
    """Harm: training learns words at other places than it scores."""
    model = randomise(Bert(Shape(**SMALL)))
    ids = torch.arange(24).view(3, 8)
    positions = torch.tensor([0, 5, 8, 17, 23])
    full = model(ids)
    assert full.shape == (3, 8, 40)
    expected = torch.stack([full[place // 8, place % 8] for place in positions.tolist()])
    torch.testing.assert_close(model(ids, positions=positions), expected, rtol=0, atol=1e-6)


def test_looking_inside_changes_nothing():
    """Harm: the attention shown is not the attention that made the prediction."""
    model = randomise(Bert(Shape(**SMALL)))
    ids, visible = torch.arange(24).view(3, 8), torch.ones(3, 8, dtype=torch.bool)
    visible[1, 5:] = visible[2, 2:] = False
    trace = {name: [] for name in ("hidden", "attentions", "scores", "query", "key", "value")}
    plain, traced = model(ids, visible), model(ids, visible, trace=trace)
    torch.testing.assert_close(traced[visible], plain[visible], rtol=0, atol=1e-5)
    assert [len(trace[name]) for name in trace] == [3, 2, 2, 2, 2, 2]
    for attention in trace["attentions"]:
        torch.testing.assert_close(attention.sum(-1), torch.ones(3, 3, 8))
        assert attention[1, :, :, 5:].abs().max() == 0
    by_hand = trace["query"][1][0, 2] @ trace["key"][1][0, 2].T / 4**0.5  # head 2 of the first, unpadded row
    torch.testing.assert_close(trace["scores"][1][0, 2], by_hand)


def test_padding_changes_nothing_for_the_words_before_it():
    """Harm: a sentence scores differently because of what it shares a batch with."""
    model = randomise(Bert(Shape(**SMALL)))
    ids = torch.arange(5, 11)[None]
    padded = torch.cat([ids, torch.tensor([[39, 38]])], 1)
    visible = torch.tensor([[True] * 6 + [False] * 2])
    torch.testing.assert_close(model(padded, visible)[:, :6], model(ids), rtol=0, atol=1e-5)


def test_layer_norm_over_some_dims_equals_a_loop():
    """Harm: statistics that still see closed dims make the masked network differ from the folded student."""
    norm, generator = LayerNorm(7), np.random.default_rng(0)
    randomise(norm)
    norm.keep = torch.tensor([1.0, 0, 1, 1, 0, 1, 1])
    kept = [0, 2, 3, 5, 6]
    x = generator.normal(3.0, 2.0, (4, 5, 7)).astype(np.float32)
    found = norm(torch.from_numpy(x)).detach().numpy()
    gain, offset = norm.weight.detach().numpy(), norm.bias.detach().numpy()
    for row, pos in np.ndindex(4, 5):
        vector = x[row, pos].astype(np.float64)
        mean = sum(vector[dim] for dim in kept) / 5
        variance = sum((vector[dim] - mean) ** 2 for dim in kept) / 5
        for dim in kept:
            expected = (vector[dim] - mean) / np.sqrt(variance + 1e-12) * gain[dim] + offset[dim]
            assert found[row, pos, dim] == pytest.approx(expected, abs=1e-5)


def test_layer_norm_that_keeps_everything_is_the_usual_one():
    """Harm: the moment a group has a mask, even one that closes nothing, the loss jumps."""
    norm = randomise(LayerNorm(6))
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(1))
    usual = norm(x)
    norm.keep = torch.ones(6)
    torch.testing.assert_close(norm(x), usual, rtol=0, atol=1e-6)


def test_layers_share_exactly_what_their_shape_says():
    """Harm: a model sold as sharing its FFN stores one a layer, or shares across groups."""
    model = Bert(Shape(**{**SMALL, "layers": 5}, sharing="ffn", groups=2))
    blocks = [model.blocks(layer) for layer in range(5)]
    assert len({id(attention) for attention, _ in blocks}) == 5
    assert [ffn is blocks[0][1] for _, ffn in blocks] == [True, True, True, False, False]
    assert blocks[3][1] is blocks[4][1]


def test_a_fresh_model_follows_its_seed_and_berts_recipe():
    """Harm: runs that cannot be repeated, and a from-scratch baseline that is weaker than BERT's own start."""
    shape = Shape(layers=2, hidden=64, heads=4, vocab=500)
    first, again, other = new_bert(shape, 3), new_bert(shape, 3), new_bert(shape, 4)
    for (name, one), two, three in zip(first.named_parameters(), again.parameters(), other.parameters(), strict=True):
        assert torch.equal(one, two), name
        if one.ndim == 2:
            assert not torch.equal(one, three), name
            assert float(one.detach().std()) == pytest.approx(0.02, rel=0.2), name
        else:
            assert torch.equal(one, torch.ones_like(one) * name.endswith("norm.weight")), name


def test_a_model_without_a_head_says_so():
    """Harm: an AttributeError about NoneType where a person needs to know what to switch on."""
    model = Bert(Shape(**SMALL, mlm_head=False))
    with pytest.raises(ShapeError, match="mlm_head"):
        model(torch.zeros(1, 3, dtype=torch.long))


def test_attention_in_bfloat16_is_attention():
    """Harm: the path that is quicker on a CPU in bfloat16 trains another model than every other path."""
    bert, batch = teacher().train(), masked_batch()
    found, grads = {}, {}
    for kind in (torch.float32, torch.bfloat16):
        bert.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=kind is torch.bfloat16):
            logits = bert(batch.ids, batch.visible, positions=batch.positions).float()
        F.cross_entropy(logits, batch.targets).backward()
        found[kind] = logits.detach()
        grads[kind] = bert.attentions[0].query.weight.grad.clone()
    assert fused_attention_is_slow(torch.zeros(1, dtype=torch.bfloat16, requires_grad=True))
    torch.testing.assert_close(found[torch.bfloat16], found[torch.float32], rtol=0, atol=0.1)
    assert torch.cosine_similarity(*(grad.flatten() for grad in grads.values()), dim=0) > 0.99
