"""Interventions: exactly the head that was asked for, exactly what was asked, and nothing left behind."""

import numpy as np
import pytest
import torch

from engine.inspection.head_ablation import ablate_heads, ablation_correlation, run_from_layer
from engine.inspection.interventions import InterventionError, all_heads, intervened
from engine.model.bert import Bert
from engine.sizing.shape import Shape
from tests.fixtures.builders import masked_batch, randomise, teacher

HEAD_DIM = 4


def logits(bert: Bert) -> torch.Tensor:
    """What `bert` says to the masked batch, whose rows have padding."""
    batch = masked_batch()
    with torch.no_grad():
        return bert(batch.ids, batch.visible)


def cut(bert: Bert, layer: int, head: int) -> Bert:
    """A copy in whose weights the head is missing: nothing of what it brings is put out."""
    other = Bert(bert.shape)
    other.load_state_dict(bert.state_dict())
    with torch.no_grad():
        other.attentions[layer].output.weight[:, head * HEAD_DIM : (head + 1) * HEAD_DIM] = 0
    return other


def level(bert: Bert, layer: int, head: int) -> Bert:
    """A copy in whose weights the head has no query, so that its softmax is even over what is visible."""
    other = Bert(bert.shape)
    other.load_state_dict(bert.state_dict())
    with torch.no_grad():
        for part in (other.attentions[layer].query.weight, other.attentions[layer].query.bias):
            part[head * HEAD_DIM : (head + 1) * HEAD_DIM] = 0
    return other


@pytest.mark.parametrize(("how", "expected"), [("off", cut), ("uniform", level)])
def test_a_changed_head_is_one_changed_in_the_weights(how, expected) -> None:
    """Harm: another head is switched off, or padding is averaged in."""
    bert = teacher()
    for layer, head in ((0, 0), (1, 2)):
        with intervened(bert, [(layer, head)], how):
            found = logits(bert)
        torch.testing.assert_close(found, logits(expected(bert, layer, head)), atol=2e-5, rtol=1e-4)
        assert (found - logits(bert)).abs().max() > 1e-3
    with intervened(bert, [(0, 1), (1, 3)], how):
        found = logits(bert)
    torch.testing.assert_close(found, logits(expected(expected(bert, 0, 1), 1, 3)), atol=2e-5, rtol=1e-4)


def test_an_untouched_model_computes_bit_for_bit_what_it_did() -> None:
    """Harm: looking at a model changes it for everybody who uses it afterwards, or slows its forward pass."""
    bert = teacher()
    before = logits(bert)
    with pytest.raises(RuntimeError, match="made by a test"), intervened(bert, [(0, 0)], "uniform"):
        raise RuntimeError("made by a test")
    assert torch.equal(logits(bert), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in bert.modules())
    with intervened(bert, []):
        assert torch.equal(logits(bert), before)


def test_the_fused_attention_stays(monkeypatch) -> None:
    """Harm: an intervention changes the arithmetic of all other heads with it."""
    calls = []
    real = torch.nn.functional.scaled_dot_product_attention
    monkeypatch.setattr(
        torch.nn.functional, "scaled_dot_product_attention", lambda *a, **k: calls.append(1) or real(*a, **k)
    )
    bert = teacher()
    with intervened(bert, [(1, 0)]):
        logits(bert)
    assert len(calls) == bert.shape.layers


@pytest.mark.parametrize("how", ["off", "uniform"])
def test_of_shared_layers_one_alone_is_changed(how) -> None:
    """Harm: an ALBERT's layers are one module, and switching off a head in layer 2 switches it off in all."""
    shape = Shape(layers=3, hidden=16, heads=4, ffn=24, vocab=300, positions=64, sharing="all")
    shared = randomise(Bert(shape))
    apart = Bert(shape.replace(sharing="none"))
    weights = shared.state_dict()
    names = {name: name for name in apart.state_dict()}
    for name in names:
        parts = name.split(".")
        if parts[0] in ("attentions", "ffns"):
            names[name] = ".".join([parts[0], "0", *parts[2:]])
    apart.load_state_dict({name: weights[source] for name, source in names.items()})
    expected = (cut if how == "off" else level)(apart, 1, 2)
    for _ in range(2):  # the count of layers starts anew with every pass
        with intervened(shared, [(1, 2)], how):
            for _ in range(2):
                torch.testing.assert_close(logits(shared), logits(expected), atol=2e-5, rtol=1e-4)


@pytest.mark.parametrize("place", [(2, 0), (0, 4), (-1, 0), (0, -1)])
def test_a_head_that_is_not_there_is_refused(place) -> None:
    """Harm: a negative number switches off the last head, and the page names another."""
    with pytest.raises(InterventionError, match="There is no layer"), intervened(teacher(), [place]):
        pass
    with pytest.raises(InterventionError, match="off or uniform"), intervened(teacher(), [(0, 0)], "louder"):
        pass


@pytest.mark.parametrize("how", ["off", "uniform"])
def test_damage_is_the_change_of_the_loss(how) -> None:
    """Harm: heads are ranked by something else than what the model loses without them."""
    bert, batch = teacher(), masked_batch()
    shares = []
    found = ablate_heads(bert, [batch, batch], how, shares.append)
    assert found.heads == all_heads(bert) == [(layer, head) for layer in range(2) for head in range(4)]
    assert shares[-1] == 1
    count = len(batch.targets)
    assert found.base.shape == (2 * count,)
    for place, (layer, head) in enumerate(found.heads):
        other = (cut if how == "off" else level)(bert, layer, head)
        with torch.no_grad():
            before, after = (
                torch.nn.functional.cross_entropy(
                    model(batch.ids, batch.visible, positions=batch.positions), batch.targets, reduction="none"
                ).numpy()
                for model in (bert, other)
            )
        np.testing.assert_allclose(found.change[place, :count], after - before, atol=2e-5)
        np.testing.assert_allclose(found.change[place, count:], after - before, atol=2e-5)
        assert found.by_layer()[layer, head] == pytest.approx((after - before).mean(), abs=2e-5)
    assert len(set(found.row.tolist())) == 2 * len(batch.ids)


def test_a_pass_from_the_middle_is_the_rest_of_a_whole_one() -> None:
    """Harm: the shortcut that makes ranking quick computes something else."""
    bert, batch = teacher(layers=3), masked_batch()
    trace = {"hidden": []}
    with torch.no_grad():
        last = bert.encode(batch.ids, batch.visible, trace=trace)
        for layer in range(3):
            assert torch.equal(run_from_layer(bert, trace["hidden"][layer], batch.visible, layer), last)


def test_heirs_and_ancestors_are_compared_word_by_word() -> None:
    """Harm: two models that lose the same amount on different words count as alike."""
    one, other = ablate_heads(teacher(), [masked_batch()]), ablate_heads(teacher(heads=2), [masked_batch()])
    found = ablation_correlation(one, other, 1, 0)
    assert found.shape == (4, 2)
    assert found[2, 1] == pytest.approx(np.corrcoef(one.of_layer(1)[2], other.of_layer(0)[1])[0, 1], abs=1e-5)
    with pytest.raises(ValueError, match="same hidden words"):
        ablation_correlation(one, ablate_heads(teacher(), [masked_batch(seed=1)]), 0, 0)
