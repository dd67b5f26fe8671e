"""Budgets: read as people write them, and turned into the most steps that fit."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.settings.budget import BUDGET_UNITS, MAX_STEPS, parse_budget, steps_for_budget, sum_over_steps
from engine.settings.options import ConfigError
from engine.settings.run_config import RunConfig

WRITTEN = {
    "500steps": (500, "steps"),
    "2k steps": (2000, "steps"),
    "1 step": (1, "steps"),
    "5Mtokens": (5e6, "tokens"),
    "5,000,000 tokens": (5e6, "tokens"),
    "2e12flops": (2e12, "flops"),
    "2 TFLOPs": (2e12, "flops"),
    "3.5Gflop": (3.5e9, "flops"),
    "60s": (60, "seconds"),
    "10 min": (600, "seconds"),
    "1.5 hours": (5400, "seconds"),
}


@pytest.mark.parametrize(("text", "means"), WRITTEN.items())
def test_a_budget_is_read_as_it_is_written(text, means) -> None:
    """Harm: five million tokens become five, or minutes become mega-somethings."""
    found = parse_budget(text)
    assert (found.amount, found.unit) == pytest.approx(means)
    assert parse_budget(found.exact) == found
    assert str(found)


@pytest.mark.parametrize(
    "text", ["", "5", "flops", "-5 steps", "0 tokens", "1.5 steps", "5 parsecs", "1e99 flops", "1e9steps", "<b>s</b>"]
)
def test_what_is_no_budget_is_refused_with_an_example(text) -> None:
    """Harm: a slip of the keyboard starts a run of another length."""
    with pytest.raises(ValueError, match=r"budget|Steps are whole"):
        parse_budget(text)
    with pytest.raises(ConfigError):
        RunConfig(budget=text or " ")


@given(st.integers(1, 10**6), st.floats(1, 1e6), st.integers(1, 50))
def test_steps_are_the_most_that_fit(amount, price, later) -> None:
    """Harm: a budget overdrawn, or a step left unspent; also where steps get cheaper after the first `later` ones."""

    def total(steps):
        return sum_over_steps(lambda step: price if step <= later else price / 4, [1, later + 1], steps)

    steps = steps_for_budget(total, amount)
    assert total(steps) <= amount < total(steps + 1)
    assert steps <= MAX_STEPS


def test_old_configs_are_still_read() -> None:
    """Harm: a run of last month cannot be resumed."""
    old = {name: value for name, value in RunConfig().to_json().items() if name != "budget"}
    assert RunConfig.from_json(old) == RunConfig()
    assert set(BUDGET_UNITS) == {means[1] for means in WRITTEN.values()}
