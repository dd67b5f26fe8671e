"""What WID is compared with: compactors on activations, as the authors released them."""

import torch

from engine.benches.activation_compactors import ActivationSpace
from engine.benches.cases import WID_CASES
from engine.compactors.heir import Heir
from engine.model.bert import new_bert


def test_the_baseline_computes_what_the_heir_computes():
    """Harm: a speed-up over a network that does something else."""
    case = WID_CASES["tiny"]
    heir = Heir(new_bert(case.teacher, 0))
    baseline = ActivationSpace(new_bert(case.teacher, 0), as_released=False)
    batch, noise = case.random_batch(), torch.Generator().manual_seed(0)
    assert sum(p.numel() for p in baseline.compactors()) == sum(p.numel() for p in heir.compactors.parameters())
    with torch.no_grad():
        for layer in range(case.teacher.layers):
            attention, ffn = baseline.bert.blocks(layer)
            for name, linear in [
                *((f"attentions.{layer}.{part}", getattr(attention, part)) for part in ("query", "value", "output")),
                (f"ffns.{layer}.up", ffn.up),
                (f"ffns.{layer}.down", ffn.down),
            ]:
                for matrix, ours in ((linear[0], heir.compactor(name).row), (linear[2], heir.compactor(name).column)):
                    matrix.weight.add_(0.1 * torch.randn(matrix.weight.shape, generator=noise))
                    ours.copy_(matrix.weight)
    expected = heir(batch.ids, batch.visible, positions=batch.positions)
    found = baseline(batch.ids, batch.visible, positions=batch.positions)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
