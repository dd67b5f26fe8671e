"""Laws of the divergence between rows of attention, checked against loops over the definition, scipy and torch."""

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.spatial.distance import jensenshannon

from engine.inspection.attention_divergence import jensen_shannon, pair_divergences
from engine.learning.closeness import jensen_shannon as jensen_shannon_in_torch
from tests.fixtures.attention_maps import some_maps


def by_definition(p, q):
    """Jensen-Shannon divergence in bits of two distributions, term by term."""
    total = 0.0
    for a, b in zip(p, q, strict=True):
        middle = (a + b) / 2
        total += sum(x * math.log2(x / middle) for x in (a, b) if x > 0) / 2
    return total


@pytest.mark.parametrize(
    ("p", "q"),
    [
        ([0.2, 0.3, 0.5], [0.5, 0.25, 0.25]),
        ([1.0, 0.0], [0.0, 1.0]),
        ([0.5, 0.5, 0.0], [0.0, 0.5, 0.5]),
        ([1.0], [1.0]),
    ],
)
def test_divergence_is_the_definition_s(p, q):
    """Harm: nats for bits, a distance for a divergence, or no number where somebody looks nowhere."""
    found = float(jensen_shannon(np.array(p), np.array(q)))
    assert found == pytest.approx(by_definition(p, q), abs=1e-12)
    assert found == pytest.approx(jensenshannon(p, q, base=2) ** 2, abs=1e-12)


def test_all_pairs_of_divergences_are_the_loop_s():
    """Harm: the fast way over all pairs of heads loses small probabilities, or takes the columns for the rows."""
    student, teacher = some_maps(1, heads=3), some_maps(2, heads=5, sharpness=6.0)
    teacher[0, 0] = np.eye(6)[2]  # zeros
    divergences = pair_divergences(student, teacher)
    np.testing.assert_allclose(divergences, jensen_shannon(student[:, None], teacher[None]).mean(-1), atol=1e-5)
    for mine, theirs in itertools.product(range(3), range(5)):
        rows = list(zip(student[mine], teacher[theirs], strict=True))
        assert divergences[mine, theirs] == pytest.approx(np.mean([by_definition(p, q) for p, q in rows]), abs=1e-5)


def test_torch_and_numpy_have_one_divergence():
    """Harm: a teacher's card and the inheritance score tell two distances under one name."""
    p, q = some_maps(3), some_maps(4, sharpness=6.0)
    p[1, 2] = np.eye(6)[0]  # zeros
    in_torch = jensen_shannon_in_torch(torch.from_numpy(p), torch.from_numpy(q)).numpy()
    np.testing.assert_allclose(in_torch, jensen_shannon(p, q), atol=1e-12)
    single = jensen_shannon_in_torch(torch.from_numpy(p).float(), torch.from_numpy(q).float()).numpy()
    np.testing.assert_allclose(single, jensen_shannon(p, q), atol=1e-5)
