"""Weights of neighbouring layers: distances of the numbers themselves."""

import numpy as np
import pytest
import torch

from engine.inspection.weight_distances import KINDS, weight_distances
from engine.model.bert import Bert
from engine.model.linears import from_int8
from engine.sizing.shape import Shape
from tests.fixtures.builders import randomise, teacher


def test_distances_are_of_the_saved_numbers() -> None:
    """Harm: layer 2 is compared with layer 4, or a bias, or a transposed matrix."""
    bert = teacher(layers=3)
    state = {name: tensor.double().numpy() for name, tensor in bert.state_dict().items()}
    names = {kind: ("ffns" if kind in ("up", "down") else "attentions") + ".{}." + kind + ".weight" for kind in KINDS}
    found = weight_distances(bert)
    for row, kind in enumerate(KINDS):
        for layer in range(2):
            a, b = (state[names[kind].format(at)] for at in (layer, layer + 1))
            squares = sum((x - y) ** 2 for x, y in zip(a.ravel(), b.ravel(), strict=True))
            dot = sum(x * y for x, y in zip(a.ravel(), b.ravel(), strict=True))
            assert found["l2"][row, layer] == pytest.approx(squares**0.5, rel=1e-6)
            assert found["cosine"][row, layer] == pytest.approx(dot / np.linalg.norm(a) / np.linalg.norm(b), rel=1e-5)
            size = ((np.square(a).sum() + np.square(b).sum()) / 2) ** 0.5
            assert found["relative"][row, layer] == pytest.approx(squares**0.5 / size, rel=1e-6)
    assert abs(found["relative"] - 2**0.5).max() < 0.2  # random weights have nothing to do with one another


@pytest.mark.parametrize("changes", [{"rank": 3}, {"linear_bits": 8}, {"rank": 3, "linear_bits": 8}])
def test_compressed_weights_are_the_matrices_that_they_stand_for(changes) -> None:
    """Harm: whole numbers are compared without their scales, or one of two factors."""
    bert = Bert(teacher(layers=2, **changes).shape)
    for parameter in bert.parameters():
        with torch.no_grad():
            whole = parameter.dtype == torch.int8
            parameter.copy_(torch.randint(-100, 100, parameter.shape) if whole else torch.randn(parameter.shape))
    for name, scale in bert.named_buffers():
        scale.copy_(torch.rand(scale.shape) + 0.5 if name.endswith("scale") else scale)
    layers = [bert.blocks(layer)[0].query for layer in range(2)]
    unit = torch.eye(bert.shape.hidden)
    if "linear_bits" not in changes:  # int8 linears round their inputs too
        a, b = (linear(unit).detach().T - linear.bias.detach()[:, None] for linear in layers)
    else:
        a, b = (
            from_int8(linear.weight, linear.scale)
            if "rank" not in changes
            else from_int8(linear.second.weight, linear.second.scale)
            @ from_int8(linear.first.weight, linear.first.scale)
            for linear in layers
        )
    assert weight_distances(bert)["l2"][0, 0] == pytest.approx(float(torch.linalg.norm(a - b)), rel=1e-4)


@pytest.mark.parametrize(("sharing", "same"), [("all", KINDS), ("attention", KINDS[:4]), ("ffn", KINDS[4:])])
def test_shared_layers_are_no_step_apart(sharing, same) -> None:
    """Harm: an ALBERT seems to change its weights from layer to layer."""
    bert = randomise(Bert(Shape(layers=3, hidden=8, heads=2, vocab=9, positions=8, sharing=sharing)))
    found = weight_distances(bert)
    for row, kind in enumerate(KINDS):
        if kind in same:
            assert found["l2"][row].tolist() == [0, 0]
            np.testing.assert_allclose(found["cosine"][row], 1)
        else:
            assert (found["l2"][row] > 0.1).all()


def test_one_layer_has_no_neighbour() -> None:
    """Harm: a one-layer student breaks the page."""
    assert weight_distances(teacher(layers=1))["l2"].shape == (len(KINDS), 0)
