"""Interventions: exactly the head that was asked for, exactly what was asked, and nothing left behind."""

import pytest
import torch

from engine.inspection.interventions import InterventionError, intervened
from engine.model.bert import Bert
from engine.sizing.shape import Shape
from tests.fixtures.builders import randomise, teacher
from tests.fixtures.changed_heads import cut, level, logits


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
