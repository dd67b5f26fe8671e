"""How closing vectors reach zero by the release's penalty, against Adam by hand."""

import pytest
import torch

from tests.fixtures.lesson import RELEASE, Lesson


@pytest.mark.parametrize("penalty", [0.5, 20.0])
def test_penalised_vectors_move_as_adam_by_hand_would_move_them(penalty):
    """Harm: a "release" that decays at another speed, or lets the task's gradient through."""
    lesson = Lesson({}, {"hidden": 8, "ffn": 12}, {**RELEASE, "penalty": penalty, "compactor_decay": 0.01}, steps=200)
    while not any(group.closing.any() for group in lesson.heir.groups.values()):
        lesson.step()
    lesson.step()
    group = lesson.heir.groups["residual"]
    member = next(m for m in group.members if m.owner is lesson.heir.compactor("ffns.0.up"))
    places = group.closing.nonzero().squeeze(1)
    parameter, state = member.parameter, lesson.optimizer.state[member.parameter]
    theta = parameter.detach()[:, places].double().clone()
    kept = (~group.closing).nonzero().squeeze(1)
    first, second = (state[name].double().clone() for name in ("exp_avg", "exp_avg_sq"))
    count = lesson.done + 1
    assert count % lesson.interval  # no cut in this step
    lesson.step()
    blended = 0.9 * first + (0.1 * (penalty - 1) * _on(places, theta, first) if penalty > 1 else 0)
    blended = blended if penalty > 1 else first
    gradient = min(penalty, 1.0) * theta
    now = 0.9 * blended[:, places] + 0.1 * gradient
    square = 0.999 * second[:, places] + 0.001 * gradient**2
    step = now / (1 - 0.9**count) / ((square / (1 - 0.999**count)).sqrt() + 1e-8)
    expected = theta * (1 - 0.01 * 0.01) - 0.01 * step
    torch.testing.assert_close(parameter.detach()[:, places].double(), expected, rtol=1e-4, atol=1e-6)
    moved = lesson.optimizer.state[parameter]["exp_avg"][:, kept].double()
    task = parameter.grad[:, kept].double()
    torch.testing.assert_close(moved, 0.9 * blended[:, kept] + 0.1 * task, rtol=1e-4, atol=1e-7)


def _on(places, values, like):
    """`values` in the columns `places` of a matrix of zeros as large as `like`."""
    full = torch.zeros_like(like)
    full[:, places] = values
    return full
