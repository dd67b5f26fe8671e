"""How benches take times: fairly, and shown in one way."""

import time

import pytest

from engine.benches.timing import MOST_IN_TIME, conditions, time_in_turn, time_within, times_table


def test_actions_take_turns_and_the_first_rounds_are_left_out() -> None:
    """Harm: one row is measured while the machine is busy and another is not; importing is counted as computing."""
    called = []
    seconds = time_in_turn({name: lambda name=name: called.append(name) for name in "ab"}, repeats=3, warmup=2)
    assert "".join(called) == "ab" * 5
    assert {name: len(taken) for name, taken in seconds.items()} == {"a": 3, "b": 3}


def test_a_device_is_waited_for() -> None:
    """Harm: what is measured on a GPU is how long it takes to ask, not to compute."""

    class Device:
        def __init__(self):
            self.asked = 0

        def synchronize(self):
            self.asked += 1
            time.sleep(0.01)

    device = Device()
    (taken,) = time_in_turn({"step": lambda: None}, repeats=1, device=device)["step"]
    assert device.asked == 2  # what was asked before does not count, what the action asks does
    assert taken >= 0.01


@pytest.mark.parametrize(("limit", "least", "most"), [(0.0, 3, 3), (10.0, 3, MOST_IN_TIME)])
def test_a_rate_is_measured_a_few_times_and_not_for_ever(limit, least, most) -> None:
    """Harm: a rate of one slow call, or a page that measures a fast one a million times."""
    assert least <= len(time_within(lambda: None, limit)) <= most


def test_a_table_has_one_unit_and_no_bar_where_there_is_none() -> None:
    """Harm: seconds under a heading of milliseconds; a bar of 0 that nobody set."""
    answers = {
        "quick": {"median": 0.0015, "worst": 1.25, "wanted": 0.1},
        "slow": {"median": 2, "worst": 3, "wanted": None},
    }
    head, quick, slow = times_table(answers, "ms", 10)
    assert head.split() == ["median", "ms", "worst", "ms", "wanted"]
    assert quick.split() == ["quick", "1.5", "1,250.0", "100.0"]
    assert slow.split() == ["slow", "2,000.0", "3,000.0"]
    assert times_table(answers, "s", 10)[1].split() == ["quick", "0.002", "1.250", "0.1"]
    assert conditions(7, 0.44, "3.11.7") == "7 repeats, Python 3.11.7; load 0.4"
    assert conditions(1, None) == "1 repeats"
