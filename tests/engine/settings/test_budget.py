"""Budgets: read as people write them, turned into steps before a run begins, and kept."""

import dataclasses
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.__main__ import main
from engine.settings.budget import BUDGET_UNITS, MAX_STEPS, Budget, parse_budget, steps_for_budget, sum_over_steps
from engine.settings.options import ConfigError
from engine.settings.run_config import RunConfig
from engine.storage.runs import create_run, list_runs
from engine.training import budget_trial as stopwatch
from engine.training import setup
from engine.training.loop import train
from engine.training.past_runs import past_runs_like
from engine.training.plan import plan
from tests.fixtures.builders import finish, losses, new_run, slow_steps, tiny

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


@pytest.fixture(scope="module", name="plain")
def run_by_steps(few_held_out, tmp_path_factory):
    """(folder, config, events) of a run of WID whose steps were given."""
    root = tmp_path_factory.mktemp("plain")
    config = tiny("wid", steps=24, options={"cuts": 2})
    return root, config, finish(config, new_run(root, config))


@pytest.mark.usefixtures("few_held_out")
@pytest.mark.parametrize("unit", ["tokens", "flops", "seconds"])
def test_a_budget_is_a_number_of_steps_and_no_more(unit, plain, tmp_path, monkeypatch) -> None:
    """Harm: a run by FLOPs or seconds closes, warms up or resumes otherwise than a run of as many steps."""
    _, config, events = plain
    start = next(event for event in events if event["kind"] == "start")
    monkeypatch.setattr(stopwatch, "seconds_of_steps", lambda *_: [0.5] * stopwatch.TIMED)
    slow_steps(monkeypatch, lambda _: 0.5)  # half a second a step, heirs and students alike
    amount = {"tokens": start["planned"]["tokens"] + 40, "flops": start["planned"]["flops"] + 10, "seconds": 12.0}[unit]
    spending = dataclasses.replace(config, steps=1, budget=Budget(amount, unit).exact)
    run, told = new_run(tmp_path, spending), []
    for event in train(spending, run):
        told.append(event)
        if event["kind"] == "step" and event["step"] == 10:
            run.request_stop()
    run.clear_stop()
    kept = json.loads(run.budget_path.read_text())
    with monkeypatch.context() as patch:
        patch.setattr(stopwatch, "sample_batches", None)  # a resume must not look again
        told += finish(spending, run)
    card = run.card()
    assert card["steps"] == kept["steps"] == card["budget"]["planned"]["steps"]
    assert card["complete"]
    assert card["budget"]["asked"] == str(Budget(amount, unit))
    assert 0.8 * amount <= kept[unit] <= amount  # so short a run of WID closes quite otherwise with a step more
    same = dataclasses.replace(config, steps=kept["steps"])
    expected = losses(events) if kept["steps"] == 24 else losses(finish(same, new_run(tmp_path, same)))
    assert losses(told) == pytest.approx(expected, abs=1e-6)


@pytest.mark.usefixtures("few_held_out")
@pytest.mark.parametrize("method", ["wid", "scratch"])
def test_the_stopwatch_leaves_nothing_behind(method, tmp_path, monkeypatch) -> None:
    """Harm: a run that timed itself first learns something else than one that did not."""
    monkeypatch.setattr(setup, "Countdown", lambda *_: None)  # as if the clock had agreed with the plan
    spending = tiny(method, steps=1, budget="0.4s")
    run = new_run(tmp_path, spending)
    told = finish(spending, run)
    start = next(event for event in told if event["kind"] == "start")
    assert start["planned"]["seconds"] <= 0.4
    same = dataclasses.replace(spending, steps=start["steps"], budget="")
    assert losses(told) == losses(finish(same, new_run(tmp_path, same)))


def test_a_plan_tells_what_it_takes(plain) -> None:
    """Harm: a night of training that was thought to be an hour."""
    root, config, events = plain
    blind, wise = plan(config).estimate, plan(config, root).estimate
    spent = next(event for event in events if event["kind"] == "finished")["card"]
    assert blind.full_rows
    assert blind.tokens == 24 * config.batch * config.length
    assert blind.seconds is None
    assert not wise.full_rows
    assert wise.tokens == pytest.approx(spent["tokens"])
    assert wise.flops == pytest.approx(spent["flops"], rel=0.1)
    assert wise.seconds == pytest.approx(wise.flops * spent["training_seconds"] / spent["flops"])
    other = dataclasses.replace(config, method="scratch", options={})
    assert plan(other, root).estimate.seconds is None  # nobody knows how fast that goes
    assert plan(dataclasses.replace(config, budget="9s")).estimate.steps is None
    assert plan(dataclasses.replace(config, budget="9s"), root).estimate.steps is not None


def test_experience_passes_over_what_says_nothing(tmp_path) -> None:
    """Harm: one damaged card, or a run from before tokens were counted, and no plan is shown."""
    for number, text in enumerate(("{", '{"tokens": 5}', "[]", '{"tokens": 0, "flops": 0, "training_seconds": 0}')):
        create_run(tmp_path, {}, f"run{number}").card_path.write_text(text)
    assert past_runs_like(tmp_path, RunConfig(), "microworld", "none", "", "CPU").tokens_a_row is None
    assert past_runs_like(tmp_path / "nowhere", RunConfig(), "microworld", "none", "", "CPU").flops_a_second is None


TOO_SMALL = {
    "2 tokens": "less than one step",
    "130 tokens": "comes to",  # one: too few to close anything in
    "nonsense": "such as 500steps",
}


@pytest.mark.parametrize(("budget", "says"), TOO_SMALL.items())
def test_a_budget_that_is_too_small_is_refused_before_anything_starts(budget, says, tmp_path, capsys) -> None:
    """Harm: a run folder for every typo, or an error that does not say that the budget is why."""
    arguments = ["train", "--teacher", "blank", "--layers", "1", "--hidden", "32", "--batch", "8", "--length", "16"]
    assert main([*arguments, "--budget", budget, "--runs", str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert says in told
    assert len(told.strip().splitlines()) == 1
    assert main([*arguments, "--budget", "60s", "--steps", "5", "--runs", str(tmp_path)]) == 2
    assert list_runs(tmp_path) == []
