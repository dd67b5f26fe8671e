"""Soft targets: Hinton's loss by hand, and its weight beside the truth."""

import numpy as np
import pytest
import torch

from engine.learning.losses import distillation_kl
from engine.methods.soft_targets import SoftTargets, SoftTargetsOptions
from engine.model.bert import Bert
from tests.fixtures.builders import masked_batch, randomise, teacher

pytestmark = pytest.mark.usefixtures("few_held_out")


def softmax(logits):
    """Row by row, in float64."""
    shifted = np.exp(logits - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0, 10.0])
def test_soft_target_loss_is_hintons_formula(temperature):
    """Harm: KL the wrong way round, summed instead of averaged, or without T squared."""
    rng = np.random.default_rng(0)
    student, guide = rng.normal(0, 3, (7, 11)), rng.normal(0, 3, (7, 11))
    p, q = softmax(guide / temperature), softmax(student / temperature)
    expected = temperature**2 * np.mean([sum(p[i] * (np.log(p[i]) - np.log(q[i]))) for i in range(7)])
    found = distillation_kl(torch.from_numpy(student), torch.from_numpy(guide), temperature).mean()
    assert float(found) == pytest.approx(expected, rel=1e-10)
    assert float(
        distillation_kl(torch.from_numpy(guide), torch.from_numpy(guide), temperature).mean()
    ) == pytest.approx(0)


def test_soft_target_gradient_is_the_losses_own():
    """Harm: a loss that is charted right and learned wrong."""
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(3, 5, generator=generator, dtype=torch.float64, requires_grad=True)
    guide = torch.randn(3, 5, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda logits: distillation_kl(logits, guide, 2.0), [student])


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
def test_soft_and_hard_loss_are_weighted_as_asked(share):
    """Harm: the slider between teacher and truth does something else."""
    guide, student, batch = teacher(), randomise(Bert(teacher().shape), seed=8), masked_batch()
    terms = SoftTargets(SoftTargetsOptions(temperature=3.0, share=share), 10).losses(student, guide, batch)
    with torch.no_grad():
        mine, theirs = (model(batch.ids, batch.visible).flatten(0, 1)[batch.positions] for model in (student, guide))
    truth = batch.targets.numpy()
    hard = -np.log(softmax(mine.numpy().astype(np.float64))[np.arange(len(truth)), truth]).mean()
    p, q = (softmax(x.numpy().astype(np.float64) / 3.0) for x in (theirs, mine))
    soft = 9 * (p * np.log(p / q)).sum(1).mean()
    assert float(terms["masked-LM"].detach()) == pytest.approx((1 - share) * hard, rel=1e-4, abs=1e-6)
    assert float(terms["soft targets"].detach()) == pytest.approx(share * soft, rel=1e-4, abs=1e-6)
    assert not any(parameter.grad is not None for parameter in guide.parameters())
