"""When what happens in a run: its learning rate, and a budget in seconds that is kept to the last step that fits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.compactors.cut_schedule import CutSizes, CutSteps
from engine.methods.wid import Wid
from engine.sizing.shape import Shape
from engine.training import budget_trial as stopwatch
from engine.training import setup
from engine.training.loop import train
from engine.training.schedule import Countdown, LearningRate
from tests.fixtures.builders import finish, new_run, slow_steps, tiny

pytestmark = pytest.mark.usefixtures("few_held_out")
MACHINES = {  # seconds of a step that was timed at 0.5
    "as timed": lambda step: 0.5,
    "twice as slow": lambda step: 1.0,
    "twice as quick": lambda step: 0.25,
    "a slow first step": lambda step: 4.0 if step == 1 else 0.5,
    "slower and slower": lambda step: 0.4 + step / 100,
    "busy halfway": lambda step: 1.5 if 15 <= step < 25 else 0.5,
    "up and down": lambda step: 0.3 if step % 2 else 0.7,
}


@pytest.fixture(params=MACHINES)
def machine(request, monkeypatch):
    """A machine without a clock of its own: seconds of a step."""
    monkeypatch.setattr(stopwatch, "seconds_of_steps", lambda *_: [0.5] * stopwatch.TIMED)
    slow_steps(monkeypatch, MACHINES[request.param])
    return MACHINES[request.param]


@pytest.mark.parametrize("method", ["scratch", "wid"])
def test_a_run_ends_with_the_last_step_that_fits(method, machine, tmp_path):
    """Harm: five seconds asked for, seven taken; or three, and the rest is given away.

    Its learning rate ends where it ends, and WID has closed everything by then.
    """
    options = {"cuts": 4, "closed_by": 0.8} if method == "wid" else {}
    config = tiny(method, steps=1, budget="20s", options=options, warmup=0.1)
    run = new_run(tmp_path, config)
    steps = [event for event in finish(config, run) if event["kind"] == "step"]
    card, last = run.card(), steps[-1]
    dearest = max(machine(step) for step in range(last["step"] - 2, last["step"] + 2))
    assert 20 - 1.05 * dearest <= last["training_seconds"] <= 20 + 0.5 * dearest
    assert last["training_seconds"] == pytest.approx(card["training_seconds"])
    assert last["step"] == last["steps"] == card["steps"] == card["steps_done"]
    assert card["complete"]  # of the promised shape
    rates = [event["learning_rate"] for event in steps]
    assert max(rates) > 0.9
    assert 0 < rates[-1] < 0.15
    peak = rates.index(max(rates))
    assert rates[: peak + 1] == sorted(rates[: peak + 1])
    assert rates[peak:] == sorted(rates[peak:], reverse=True)


def test_a_resumed_run_keeps_its_seconds(tmp_path, monkeypatch):
    """Harm: each resume gives the budget anew, or goes back to the end that was planned at first."""
    monkeypatch.setattr(stopwatch, "seconds_of_steps", lambda *_: [0.5] * stopwatch.TIMED)
    slow_steps(monkeypatch, MACHINES["twice as slow"])
    config = tiny("wid", steps=1, budget="20s", options={"cuts": 4})
    whole, run = new_run(tmp_path, config), new_run(tmp_path, config)
    expected = [event for event in finish(config, whole) if event["kind"] == "step"]
    told = []
    for event in train(config, run):
        told.append(event)
        if event["kind"] == "step" and event["step"] == 9:
            run.request_stop()
    run.clear_stop()
    told = [event for event in [*told, *finish(config, run)] if event["kind"] == "step"]
    for name in ("step", "steps", "learning_rate"):
        assert [event[name] for event in told] == [event[name] for event in expected]
    assert told[-1]["training_seconds"] == pytest.approx(20)
    assert [event["loss"] for event in told] == pytest.approx([event["loss"] for event in expected], abs=1e-6)


def test_other_budgets_know_no_clock(tmp_path, monkeypatch):
    """Harm: a published seed that gives another student on a slower machine."""
    monkeypatch.setattr(setup, "Countdown", None)
    slow_steps(monkeypatch, lambda step: 100.0)
    assert finish(config := tiny("scratch", steps=3), new_run(tmp_path, config))[-1]["card"]["steps_done"] == 3


@given(
    st.lists(st.floats(0.2, 5.0), min_size=400, max_size=400),
    st.floats(5, 60),
    st.lists(st.floats(0.2, 3), min_size=1, max_size=4),
)
def test_no_machine_overdraws_by_more_than_its_last_step(seconds, asked, course):
    """Harm: an estimate that is trusted although the clock says otherwise."""
    planned = 40
    phases = [(1 + 10 * index, price) for index, price in enumerate(course)]
    countdown, spent, step = Countdown(asked, planned, phases), 0.0, 0
    while step < countdown.steps and step < 400:
        step += 1
        spent += seconds[step - 1]
        assert countdown.end_after(step, spent) >= step
    assert spent - seconds[step - 1] <= asked
    assert step == 400 or asked - spent <= 25 * max(seconds)  # what is left would not have paid for one more


def test_the_rate_bends_and_never_leaps():
    """Harm: the learning rate jumps up in the middle of a run whose end was moved."""
    plain, moved = LearningRate(100, 0.1), LearningRate(100, 0.1)
    assert [moved.at(step) for step in (1, 5, 10, 50, 100)] == [plain.at(step) for step in (1, 5, 10, 50, 100)]
    moved.move_end(50, 60)
    after = [moved.at(step) for step in range(50, 61)]
    assert after[0] == pytest.approx(plain.at(50))
    assert [a - b for a, b in zip(after, after[1:], strict=False)] == pytest.approx([after[-1]] * 10)  # straight, to 0
    moved.move_end(55, 70)
    assert moved.at(55) == pytest.approx(after[5])
    early = LearningRate(100, 0.1)
    early.move_end(5, 20)  # still rising: it rises on, and falls to the new end
    assert [early.at(10), early.at(15), early.at(20)] == pytest.approx([1, 0.6, 0.1])


@given(st.integers(0, 60), st.integers(1, 200), st.integers(1, 20))
def test_everything_is_closed_in_time_wherever_the_end_moves(moved_at, more, interval):
    """Harm: a run that had to be shorter ends with half of its dims still to go."""
    schedule = CutSizes(Shape(layers=1, hidden=32, heads=4), Shape(layers=1, hidden=8, heads=4, ffn=32), "dim", cuts=8)
    turns, cuts, step = CutSteps(schedule, interval), {}, 0
    last = moved_at + more
    while step < moved_at or (step < last and step < turns.ends):
        if step == moved_at:
            turns.move_end(last // 2, last)
        step += 1
        if (cut := turns.due(step)) is not None:
            cuts[step] = cut
    numbers = list(cuts.values())
    assert numbers == sorted(numbers)
    first = next((at for at in cuts if at > moved_at), None)
    if first is not None and first < last - 1:  # there was a cut to make after the move
        assert turns.ends <= max(last // 2, first + (last - first + 1) // 2, first + 1)


def test_wid_asked_for_an_interval_keeps_it():
    """Harm: `--option interval=500` that a slow machine overrules."""
    method = Wid(Wid.Options(interval=5, cuts=2), 40)
    small = Shape(layers=1, hidden=32, heads=4, mlm_head=True)
    method.timetable = CutSteps(method.plan(small, small.replace(hidden=16, heads=4, head_dim=4)).sizes, 5)
    method.move_end(20)
    assert (method.steps, method.timetable.moved) == (20, None)


@pytest.mark.parametrize("warmup", [0.0, 0.05, 0.5, 1.0])
@pytest.mark.parametrize("steps", [1, 2, 7, 600])
def test_the_learning_rate_rises_falls_and_never_leaves_its_bounds(steps, warmup):
    """Harm: a first step at full speed, or a last one that is wasted at zero."""
    factors = [LearningRate(steps, warmup).at(step) for step in range(1, steps + 1)]
    assert all(0 < factor <= 1 for factor in factors)
    top = factors.index(max(factors))
    assert factors[: top + 1] == sorted(factors[: top + 1])
    assert factors[top:] == sorted(factors[top:], reverse=True)
    if steps == 600:
        assert max(factors) == pytest.approx(1.0, abs=0.002)
    if steps == 600 and warmup == 0.05:
        assert factors[14] == pytest.approx(0.5)  # step 15 of a rise of 30
        assert factors[-1] == pytest.approx(1 / 570)
