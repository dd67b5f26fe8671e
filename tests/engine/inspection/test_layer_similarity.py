"""CKA: the unbiased estimator, by its formula in plain loops, and the laws that make it worth drawing."""

import math

import numpy as np
import pytest

from engine.inspection.layer_similarity import angle, cosine_similarity, l2_distance, layer_movement, linear_cka


def hsic_1(x: np.ndarray, y: np.ndarray) -> float:
    """HSIC_1 of Song et al. (2012) in plain loops."""
    n = len(x)
    k = [[float(np.dot(x[i], x[j])) * (i != j) for j in range(n)] for i in range(n)]
    m = [[float(np.dot(y[i], y[j])) * (i != j) for j in range(n)] for i in range(n)]
    trace = sum(k[i][j] * m[j][i] for i in range(n) for j in range(n))
    all_k, all_m = sum(map(sum, k)), sum(map(sum, m))
    both = sum(k[i][j] * m[j][q] for i in range(n) for j in range(n) for q in range(n))
    return (trace + all_k * all_m / ((n - 1) * (n - 2)) - 2 * both / (n - 2)) / (n * (n - 3))


def test_it_is_the_formula_in_plain_loops() -> None:
    """Harm: the heatmap shows the biased estimator, or another one."""
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(2, 16, 5)), rng.normal(size=(3, 16, 4)) + 2.0
    b[0] = a[1] @ rng.normal(size=(5, 4))
    found = linear_cka(a, b, minibatch=8, seed=1)
    parts = np.array_split(np.random.default_rng(1).permutation(16), 2)
    for i in range(2):
        for j in range(3):
            crossed, own, other = (
                np.mean([hsic_1(x[part], y[part]) for part in parts])
                for x, y in ((a[i], b[j]), (a[i], a[i]), (b[j], b[j]))
            )
            assert found.values[i, j] == pytest.approx(crossed / np.sqrt(own * other), rel=1e-9)
    assert found.tokens == 16


def test_rotation_scale_and_offset_change_nothing() -> None:
    """Harm: a student of another width or basis looks unlike its teacher only because its axes are others."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(1, 600, 6))
    turned = 7 * x @ np.linalg.qr(rng.normal(size=(6, 6)))[0] + 100
    assert linear_cka(x, turned).values[0, 0] == pytest.approx(1)
    assert linear_cka(x, x @ rng.normal(size=(6, 3))).values[0, 0] < 0.99


def test_independent_states_have_nothing_in_common_however_wide() -> None:
    """Harm: the biased estimator gives 0.7 here, and every heatmap of a wide model is dark."""
    rng = np.random.default_rng(0)
    found = linear_cka(rng.normal(size=(1, 512, 400)), rng.normal(size=(1, 512, 400)))
    assert abs(found.values[0, 0]) < 0.03
    assert found.low[0, 0] <= found.values[0, 0] <= found.high[0, 0]


def test_what_does_not_vary_or_does_not_fit() -> None:
    """Harm: a division by zero, or the tokens of two different texts compared with each other."""
    rng = np.random.default_rng(0)
    assert linear_cka(np.ones((1, 20, 3)), rng.normal(size=(1, 20, 3))).values[0, 0] == 0
    for shape in ((1, 19, 3), (20, 3)):
        with pytest.raises(ValueError, match="same tokens"):
            linear_cka(rng.normal(size=(1, 20, 3)), rng.normal(size=shape))
    with pytest.raises(ValueError, match="at least 4"):
        linear_cka(rng.normal(size=(1, 3, 3)), rng.normal(size=(1, 3, 3)))


def test_known_numbers() -> None:
    """Harm: a distance or an angle is off by a square root or a factor."""
    a, b = np.array([3.0, 0.0]), np.array([0.0, 4.0])
    assert l2_distance(a, b) == pytest.approx(5)
    assert cosine_similarity(a, b) == pytest.approx(0)
    assert angle(a, b) == pytest.approx(90)
    assert angle(a, a + [0, 3]) == pytest.approx(45)
    assert angle(a, -a) == pytest.approx(180)


def test_zero_vectors_and_rounding_do_not_give_nan() -> None:
    """Harm: one dead token turns a whole line of the chart into nothing."""
    zero, tiny = np.zeros(3), np.array([1e-30, 0, 0])
    assert cosine_similarity(zero, tiny) == 0
    same = np.full(7, 1 / 3, dtype=np.float32)
    assert angle(same, same) == pytest.approx(0, abs=1e-5)
    assert np.isfinite(angle(same, same * 1.0000001))


def test_layer_steps_equal_a_plain_loop() -> None:
    """Harm: a layer is compared with the wrong neighbour, or tokens are mixed."""
    hidden = np.random.default_rng(0).normal(size=(4, 5, 6)).astype(np.float32)
    steps = layer_movement(hidden)
    for layer in range(3):
        for pos in range(5):
            before, after = hidden[layer, pos].tolist(), hidden[layer + 1, pos].tolist()
            distance = math.sqrt(sum((x - y) ** 2 for x, y in zip(before, after, strict=True)))
            dot = sum(x * y for x, y in zip(before, after, strict=True))
            cosine = dot / math.sqrt(sum(x * x for x in before)) / math.sqrt(sum(y * y for y in after))
            assert steps["l2"][layer, pos] == pytest.approx(distance, rel=1e-6)
            assert steps["cosine"][layer, pos] == pytest.approx(cosine, rel=1e-6)
            assert steps["angle"][layer, pos] == pytest.approx(math.degrees(math.acos(cosine)), rel=1e-6)


def test_what_has_no_layers_is_refused() -> None:
    """Harm: an empty chart, or an axis taken for another, without a word."""
    with pytest.raises(ValueError, match="at least one layer"):
        layer_movement(np.zeros((1, 5, 6)))
    with pytest.raises(ValueError, match="got"):
        layer_movement(np.zeros((5, 6)))
