"""A budget becomes a number of steps before a run begins: tried, planned, and nothing more."""

import dataclasses
import json

import pytest

from engine.settings.budget import Budget
from engine.training import budget_trial as stopwatch
from engine.training import setup
from engine.training.loop import train
from engine.training.plan import plan
from tests.fixtures.builders import finish, losses, new_run, slow_steps, tiny


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
