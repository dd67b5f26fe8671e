"""What a model loses without a head, and whether its heir loses the same."""

import numpy as np
import pytest
import torch

from engine.inspection.head_ablation import ablate_heads, ablation_correlation, run_from_layer
from engine.inspection.interventions import all_heads
from tests.fixtures.builders import masked_batch, teacher
from tests.fixtures.changed_heads import cut, level


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
