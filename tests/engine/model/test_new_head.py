"""Heads and poolers for models that have none."""

import pytest
import torch

from engine.model.new_head import with_pooler
from tests.fixtures.builders import randomise, teacher


@pytest.mark.parametrize("hidden", [16, 64, 256])
def test_a_fresh_pooler_hands_on_as_much_as_it_reads(hidden):
    """Harm: a classifier behind a pooler that lets next to nothing through, at every width but BERT's own."""
    bert = with_pooler(teacher(hidden=hidden), 0)
    read = torch.randn(200, hidden, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        handed = bert.pooler(read)
    assert float(handed.norm() / read.norm()) == pytest.approx(1, abs=0.15)
    assert torch.equal(with_pooler(teacher(hidden=hidden), 0).pooler.weight, bert.pooler.weight)
    own = randomise(bert, seed=3)
    assert with_pooler(own, 5) is own  # one that it has stays
