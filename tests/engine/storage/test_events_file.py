"""A history of events is small, true at its ends, and grows by what was added."""

import json
import os
import tracemalloc
from pathlib import Path
from typing import Any

import pytest

from engine.storage import events_file
from engine.storage.events_file import EventHistory
from engine.storage.json_file import JsonFileError
from tests.fixtures import pictured_run
from tests.fixtures.pictured_run import beginning, picture


def step_event(step: int) -> dict[str, Any]:
    """The step event of a run longer than the fixture's."""
    return {**pictured_run.step_event(step), "seconds_left": 1.0}


def line(event: dict[str, Any]) -> bytes:
    """An event as the engine writes it."""
    return json.dumps({**event, "time": 1.0}).encode() + b"\n"


def steps_of(events: list[dict[str, Any]]) -> list[int]:
    """The steps of its step events."""
    return [event["step"] for event in events if event["kind"] == "step"]


def write_long(path: Path, steps: int, every: int = 10_000) -> None:
    """The events of a run of so many steps, with an evaluation and a picture now and then."""
    template = line({**step_event(1), "step": "@"})
    with path.open("wb") as file:
        file.writelines(line(event) for event in beginning())
        for step in range(1, steps + 1):
            file.write(template.replace(b'"@"', b"%d" % step))
            if step % every == 0:
                file.write(line({"kind": "evaluation", "step": step, "accuracy": 0.5}) + line(picture(step)))


@pytest.mark.parametrize("whole", [True, False])
def test_a_short_history_is_every_event(tmp_path: Path, whole: bool) -> None:
    """Harm: thinning takes points from a curve that has few."""
    path, written = tmp_path / "events.jsonl", [*beginning(), *map(step_event, range(1, 40)), picture(40)]
    history, data = EventHistory(path), b"".join(map(line, written))
    assert history.read() == []
    if whole:
        path.write_bytes(data)
    else:  # in pieces that end anywhere
        for end in range(0, len(data), 577):
            path.write_bytes(data[:end])
            history.read()
        path.write_bytes(data)
    assert history.read() == [{**event, "time": 1.0} for event in written]
    assert EventHistory(path).read() == history.read()


def test_a_long_history_is_small_even_and_true_at_its_ends(tmp_path: Path) -> None:
    """Harm: a run of a million steps takes 28 s and 3.5 GB to open, once a second and for everybody who watches."""
    path = tmp_path / "events.jsonl"
    write_long(path, 60_000)
    tracemalloc.start()
    history = EventHistory(path)
    events = history.read()
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    steps = steps_of(events)
    assert steps[0] == 1
    assert steps[-1] == 60_000
    assert 500 < len(steps) <= events_file.MOST_STEPS + 20
    assert steps == sorted(set(steps))
    assert max(after - before for before, after in zip(steps, steps[1:], strict=False)) <= 64
    assert {event["step"] for event in events if event["kind"] == "evaluation"} >= {0, 10_000, 60_000}
    assert {10_000, 20_000, 50_000} <= set(steps), "what was reached at an evaluation is known exactly"
    assert most < 40_000_000


def test_polling_reads_what_was_added_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Harm: every second of watching costs as much as the run is long, until the server does nothing else."""
    path = tmp_path / "events.jsonl"
    write_long(path, 20_000)
    history, parsed = EventHistory(path), []
    history.read()
    careful = events_file.parse_json
    monkeypatch.setattr(events_file, "parse_json", lambda text: (parsed.append(len(text)), careful(text))[1])
    for step in range(20_001, 20_101):
        with path.open("ab") as file:
            file.write(line(step_event(step)))
        assert steps_of(history.read())[-1] == step
    assert len(parsed) < 250
    parsed.clear()
    assert history.read() == history.read()
    assert not parsed


def test_days_of_polling_stay_flat(tmp_path: Path) -> None:
    """Harm: a page left open for a day fills the server's memory."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(map(line, beginning())))
    history, sizes = EventHistory(path), []
    for block in range(48):  # half an hour each, a step event every two seconds
        with path.open("ab") as file:
            file.writelines(line(step_event(step)) for step in range(block * 900 + 1, block * 900 + 901))
            file.write(line(picture(block)) + line({"kind": "evaluation", "step": block * 900, "accuracy": 0.5}))
        sizes.append(len(history.read()))
    assert max(sizes) < 2 * events_file.MOST_STEPS + 200
    assert steps_of(history.read())[-1] == 48 * 900


def test_steps_that_are_done_again_count_once(tmp_path: Path) -> None:
    """Harm: after a resume the curve runs back and forth between what was lost and what replaced it."""
    path = tmp_path / "events.jsonl"
    start = beginning()[0]
    with path.open("wb") as file:
        file.writelines(line(event) for event in [start, *map(step_event, range(1, 9_000))])
        file.writelines(line(event) for event in [{**start, "step": 4_000}, *map(step_event, range(4_001, 6_000))])
    steps = steps_of(EventHistory(path).read())
    assert steps == sorted(set(steps))
    assert steps[-1] == 5_999


def test_what_lacks_its_parts_is_left_out(tmp_path: Path) -> None:
    """Harm: one step event without a loss, or one of text, ends the watch page in a KeyError."""
    path = tmp_path / "events.jsonl"
    whole, steps = step_event(1), []
    broken: list[Any] = [{**whole, name: value} for name in whole for value in ("x", [], True) if name != "kind"]
    broken += [{key: value for key, value in whole.items() if key != name} for name in ("step", "loss", "losses")]
    broken += [{"kind": "start"}, {"kind": "evaluation", "step": -1, "accuracy": 1}, {"kind": "prepare", "message": 3}]
    broken += [{"kind": "teacher", "accuracy": [1]}, {"kind": "attention", "step": 10**13}, {**whole, "time": "now"}]
    lines = [line(event) if "time" not in event else json.dumps(event).encode() + b"\n" for event in broken]
    lines += [b'{"kind": "step", "step": NaN}\n', b'{"kind": "step", ' + b"[" * 10**5 + b"\n", b"\xff\n", b"7\n"]
    path.write_bytes(b"".join(lines) + line(step_event(2)))
    assert steps_of(EventHistory(path).read()) == [2], steps


def test_another_file_in_its_place_is_read_anew(tmp_path: Path) -> None:
    """Harm: a folder that was made anew under the old name shows the curves of both runs."""
    path = tmp_path / "events.jsonl"
    path.write_bytes(b"".join(line(step_event(step)) for step in range(1, 50)))
    history = EventHistory(path)
    history.read()
    other = tmp_path / "other"
    other.write_bytes(b"".join(line(step_event(step)) for step in range(100, 200)))
    os.replace(other, path)
    assert steps_of(history.read())[0] == 100
    path.write_bytes(line(step_event(7)))
    assert steps_of(history.read()) == [7]
    path.unlink()
    assert history.read() == []
    path.mkdir()
    with pytest.raises(JsonFileError, match="is a folder"):
        history.read()
