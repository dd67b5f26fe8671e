"""Laws of magnitude pruning."""

import pytest
import torch

from engine.methods.registry import METHODS
from tests.fixtures.builders import masked_batch, teacher


@pytest.mark.parametrize("ranking", ["matrix", "global"])
def test_the_smallest_weights_are_zero_and_stay_zero(ranking):
    """Harm: the largest went, or healing brings zeros back to life through decay or momentum."""
    guide = teacher()
    kind = METHODS["magnitude"]
    method = kind(kind.Options(share=0.6, ranking=ranking, lr=1e-2), 4)
    student = method.init_student(guide, guide.shape, 0).requires_grad_(True)
    pairs = [
        (mine, dict(guide.named_parameters())[name])
        for name, mine in student.named_parameters()
        if mine.ndim == 2 and name.startswith(("attentions", "ffns"))
    ]
    gone = torch.cat([(mine == 0).flatten() for mine, _ in pairs])
    size = torch.cat([theirs.abs().flatten() for _, theirs in pairs])
    assert float(gone.float().mean()) == pytest.approx(0.6, abs=0.01)
    if ranking == "global":
        assert size[gone].max() <= size[~gone].min()
    else:
        for mine, theirs in pairs:
            assert theirs.abs()[mine == 0].max() <= theirs.abs()[mine != 0].min()
            assert float((mine == 0).float().mean()) == pytest.approx(0.6, abs=0.01)
    optimizer, zeros = method.optimizer(student), [(mine == 0).clone() for mine, _ in pairs]
    for step in range(1, 5):
        optimizer.zero_grad()
        sum(method.losses(student, guide, masked_batch(seed=step)).values()).backward()
        method.after_backward(student, optimizer, step)
        optimizer.step()
    for (mine, theirs), was in zip(pairs, zeros, strict=True):
        assert torch.equal(mine == 0, was)
        assert not torch.equal(mine[~was], theirs[~was])
