"""A linear probe on frozen features."""

import torch

from engine.settings.device import pick_device
from engine.tasks.linear_probe import FrozenFeatures
from tests.fixtures.builders import tokenizer
from tests.fixtures.easy_task import EASY, easy


def test_a_linear_probe_leaves_the_encoder_and_finds_what_is_there(fresh):
    """Harm: 'frozen features' that were trained, or a probe that cannot read them."""
    before = {name: tensor.clone() for name, tensor in fresh.state_dict().items()}
    features = FrozenFeatures(fresh, tokenizer(), EASY, easy(), pick_device("cpu"))
    assert features.train.mean(0).abs().max() < 1e-4
    one, two, again = (features.probe(seed) for seed in (0, 1, 0))
    assert one["test"]["accuracy"] > 0.9  # a mean of word embeddings shows which words are there
    assert one["test"] == again["test"]
    assert {one["penalty"], two["penalty"]} <= {1e-4, 1e-3, 1e-2, 1e-1}
    assert all(torch.equal(tensor, before[name]) for name, tensor in fresh.state_dict().items())
