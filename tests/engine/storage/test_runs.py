"""Laws of run folders: nothing is lost, nothing is overwritten, nothing escapes, and status tells the truth."""

import errno
import json
import os
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest

from engine.storage import runs
from engine.storage.atomic import write_json
from engine.storage.runs import Run, RunError, create_run, list_runs, open_run
from tests.fixtures.jobs import until

OLD_RUN = Path(__file__).parents[2] / "fixtures" / "runs_2026_11" / "wid-finished"


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """A fresh run folder."""
    return create_run(tmp_path / "runs", {"method": "wid"}, "wid-4x64")


def work_here(run: Run) -> None:
    """Record this very process, which is certainly alive, as the run's."""
    run.write_process(os.getpid(), psutil.Process().create_time())


def ended_process() -> tuple[int, float]:
    """Pid and start time of a process that is gone."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as process:
        return process.pid, psutil.Process(process.pid).create_time()


# Events


def test_every_cut_of_the_file_delivers_every_event_once(run: Run) -> None:
    """Harm: a page that polls while the trainer writes loses a point of the curve, or draws it twice."""
    written = [run.append({"kind": "step", "step": step, "note": "é\n"}) for step in range(3)]
    whole = run.events_path.read_bytes()
    for cut in range(len(whole) + 1):
        run.events_path.write_bytes(whole[:cut])
        first, offset = run.events()
        run.events_path.write_bytes(whole)
        second, end = run.events(offset)
        assert first + second == written
        assert end == len(whole)
        assert run.events(end) == ([], end)


def test_events_under_concurrent_writers_arrive_exactly_once(run: Run) -> None:
    """Harm: trainer and stopper write at once, the page reads meanwhile, and events vanish or repeat."""

    def write(writer: int) -> None:
        for step in range(300):
            run.append({"kind": "step", "writer": writer, "step": step, "blob": "x" * (step * 7 % 500)})

    def write_in_halves() -> None:
        with torn.events_path.open("ab", buffering=0) as file:
            for step in range(300):
                line = json.dumps({"kind": "step", "writer": 0, "step": step}).encode() + b"\n"
                file.write(line[: step % len(line)])
                file.write(line[step % len(line) :])

    torn = create_run(run.path.parent, {}, "torn")
    cases: list[tuple[Run, list[threading.Thread]]] = [
        (run, [threading.Thread(target=write, args=(writer,)) for writer in range(2)]),
        (torn, [threading.Thread(target=write_in_halves)]),
    ]
    for target, writers in cases:
        seen, offset = [], 0
        for thread in writers:
            thread.start()
        while True:
            done = not any(thread.is_alive() for thread in writers)
            events, offset = target.events(offset)
            seen += events
            if done:
                break
        for writer in range(len(writers)):
            assert [event["step"] for event in seen if event["writer"] == writer] == list(range(300))


def test_corrupt_lines_are_skipped(run: Run) -> None:
    """Harm: one bad line, left by a crash, hides a whole run behind a stack trace."""
    run.append({"kind": "first"})
    bad = [b"{", b"\xff\xfe", b"[1]", b"7", b'{"no": "kind"}', b'{"kind": 3}', b"[" * 100_000, b"9" * 9999, b""]
    with run.events_path.open("ab") as file:
        file.write(b"\n".join(bad) + b"\n")
    run.append({"kind": "second"})
    assert [event["kind"] for event in run.events()[0]] == ["first", "second"]


def test_a_line_torn_by_a_kill_does_not_swallow_the_next(run: Run) -> None:
    """Harm: a run killed midway through a line and resumed loses its first new event, perhaps its last word."""
    run.append({"kind": "step"})
    with run.events_path.open("ab") as file:
        file.write(b'{"kind": "st')
    assert [event["kind"] for event in run.events()[0]] == ["step"]
    assert (run.last_event() or {})["kind"] == "step"
    run.append({"kind": "finished"})
    assert [event["kind"] for event in run.events()[0]] == ["step", "finished"]
    assert run.status() == "finished"


def test_events_are_stamped_and_hold_exactly_what_was_given(run: Run) -> None:
    """Harm: curves over seconds have no x axis, or the trainer's own dict changes under its hands."""
    event = {"kind": "step", "loss": 0.1, "names": ["a\u2028b"]}
    before = time.time()
    stamped = run.append(event)
    assert before <= stamped["time"] <= time.time()
    assert "time" not in event
    assert run.events()[0] == [stamped] == [{**event, "time": stamped["time"]}]
    run.append({"kind": "step", "names": ["\ud800"]})  # half a pair, which no page could be sent
    assert (run.last_event() or {})["names"] == ["\ufffd"]


def test_an_event_that_cannot_be_written_leaves_no_trace(run: Run) -> None:
    """Harm: half an event in the file, or an event that no reader will ever show, accepted in silence."""
    with pytest.raises(TypeError):
        run.append({"kind": "step", "loss": object()})
    with pytest.raises(RunError, match="needs a 'kind'"):
        run.append({"step": 1})
    assert not run.events_path.exists()
    run.events_path.mkdir()
    with pytest.raises(RunError, match="Could not write an event"):
        run.append({"kind": "step"})


def test_the_last_event_is_found_however_long_it_is(run: Run) -> None:
    """Harm: a last word longer than one read makes a finished run look dead."""
    run.append({"kind": "step"})
    run.append({"kind": "finished", "blob": "x" * 700_000})
    assert (run.last_event() or {})["kind"] == "finished"


# Status


def test_status_follows_the_events_while_the_process_lives(run: Run) -> None:
    """Harm: the page shows a run in line as running, or an ended one as alive and offers to stop it."""
    work_here(run)
    steps = [(None, "waiting"), ("queued", "waiting"), ("waiting", "waiting"), ("started", "running")]
    steps += [("step", "running"), ("stopped", "stopped"), ("queued", "waiting"), ("step", "running")]
    steps += [("failed", "failed"), ("queued", "waiting"), ("finished", "finished")]
    for kind, status in steps:
        if kind:
            run.append({"kind": kind, "message": "why"})
        assert run.status() == status
        assert run.error() == ("why" if status == "failed" else None)


def test_a_stop_request_shows_until_it_is_answered_or_taken_back(run: Run) -> None:
    """Harm: the stop button seems to do nothing, so it is pressed again and again."""
    work_here(run)
    run.append({"kind": "step"})
    run.request_stop()
    run.request_stop()
    assert run.stop_requested()
    assert run.status() == "stopping"
    run.clear_stop()
    run.clear_stop()
    assert run.status() == "running"
    run.request_stop()
    run.append({"kind": "stopped"})
    assert run.status() == "stopped"


@pytest.mark.parametrize("word", ["finished", "stopped", "failed"])
def test_a_last_word_outlives_the_process(run: Run, word: str) -> None:
    """Harm: yesterday's finished run is shown as died."""
    run.write_process(*ended_process())
    run.append({"kind": word})
    assert run.status() == word


def test_a_process_gone_without_a_word_has_died(run: Run) -> None:
    """Harm: a run killed by the system is shown as running for ever."""
    run.append({"kind": "step"})
    run.write_process(*ended_process())
    assert run.status() == "died"
    run.request_stop()
    assert run.status() == "died"


def test_a_reused_pid_is_not_the_run(run: Run) -> None:
    """Harm: a stranger's process with the same pid keeps a dead run 'running', and stop would kill the stranger."""
    run.append({"kind": "step"})
    work_here(run)
    assert run.alive()
    for shift in (-3600.0, -5.0, 5.0, 3600.0):
        run.write_process(os.getpid(), psutil.Process().create_time() + shift)
        assert not run.alive()
        assert run.status() == "died"


def test_a_zombie_is_dead(run: Run) -> None:
    """Harm: the app never collects its child, whose entry in the process table then looks like a running run."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    record = psutil.Process(process.pid)
    run.write_process(process.pid, record.create_time())
    run.append({"kind": "step"})
    until(lambda: record.status() == psutil.STATUS_ZOMBIE)
    assert run.status() == "died"
    process.wait()
    assert run.status() == "died"


def test_a_run_without_a_process_is_starting_but_not_for_ever(run: Run) -> None:
    """Harm: a page that looks in the first millisecond sees 'died'; one that looks a day later sees 'waiting'."""
    assert run.status() == "waiting"
    os.utime(run.config_path, (time.time() - 60, time.time() - 60))
    assert run.status() == "died"
    run.append({"kind": "queued"})
    assert run.status() == "waiting"


@pytest.mark.parametrize(
    "record",
    ["", "[]", "{}", '{"pid": -1, "create_time": 0}', '{"pid": 1e999, "create_time": 0}', '{"pid": "x"}']
    + [json.dumps({"pid": 10**30, "create_time": 0}), '{"pid": OURS, "create_time": "NaN"}'],
)
def test_a_damaged_process_record_is_no_process(run: Run, record: str) -> None:
    """Harm: a half-written or forged record crashes the list of runs, or aims a signal at pid -1, everybody."""
    run.process_path.write_text(record.replace("OURS", str(os.getpid())))
    assert not run.alive()
    assert run.status() in ("waiting", "died")


# Folders


def test_create_never_overwrites(tmp_path: Path) -> None:
    """Harm: two people press start in the same second, and one run's folder swallows the other's."""
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda number: create_run(tmp_path, {"number": number}, "WID 4x64"), range(48)))
    assert len({run.id for run in made}) == 48
    assert [run.config()["number"] for run in made] == list(range(48))
    assert all("-wid-4x64" in run.id for run in made)
    assert {run.id for run in list_runs(tmp_path)} == {run.id for run in made}


def test_runs_are_listed_newest_first_and_alone(tmp_path: Path) -> None:
    """Harm: the newest run is lost among others, or a stray folder in the list crashes the page."""
    assert list_runs(tmp_path / "absent") == []
    made = [create_run(tmp_path, {}, name) for name in ("c", "a", "b", "b")]
    (tmp_path / "notes.txt").write_text("")
    (tmp_path / "empty").mkdir()
    (tmp_path / ".locks").mkdir()
    assert list_runs(tmp_path) == made[::-1]
    assert open_run(tmp_path, made[0].id) == made[0]


@pytest.mark.parametrize("name", ["../../etc", "/", "", "..", "a\0b", "ü" * 500, "x" * 500, "con.\n"])
def test_no_name_makes_a_folder_elsewhere(tmp_path: Path, name: str) -> None:
    """Harm: a run's name, which comes from a form, writes outside the run folder or breaks the file system."""
    run = create_run(tmp_path / "runs", {}, name)
    assert run.path.parent == tmp_path / "runs"
    assert run.path.resolve().parent == (tmp_path / "runs").resolve()
    assert open_run(tmp_path / "runs", run.id) == run


@pytest.mark.parametrize(
    "id", ["", ".", "..", "../secret", "a/../../secret", "/etc", "a\\b", "a\0b", "absent", ".locks", "x" * 9999, "link"]
)
def test_ids_that_escape_or_do_not_exist_are_refused(tmp_path: Path, run: Run, id: str) -> None:
    """Harm: an id from a shared link reads, stops or overwrites files outside the run folder."""
    root = run.path.parent
    secret = create_run(tmp_path / "elsewhere", {}, "secret").path
    secret.rename(tmp_path / "secret")
    (root / "link").symlink_to(tmp_path / "secret")
    with pytest.raises(RunError, match=run.id if id != "link" else "its folder is a link to somewhere else"):
        open_run(root, id)
    assert {one.id: one.status() for one in list_runs(root)} == {"link": "unreadable", run.id: "waiting"}


@pytest.mark.parametrize("file", ["config.json", "events.jsonl"])
def test_a_folder_whose_files_are_links_is_no_run(tmp_path: Path, run: Run, file: str) -> None:
    """Harm: a run folder from elsewhere shows, or appends to, a private file it links to."""
    (tmp_path / "private").write_text("{}")
    (run.path / file).unlink(missing_ok=True)
    (run.path / file).symlink_to(tmp_path / "private")
    with pytest.raises(RunError):
        open_run(run.path.parent, run.id)


def test_unknown_id_names_the_runs_there_are(tmp_path: Path) -> None:
    """Harm: a typo on the command line costs a search for the right id."""
    with pytest.raises(RunError, match="none yet"):
        open_run(tmp_path, "x")
    made = [create_run(tmp_path, {}, "wid") for _ in range(7)]
    with pytest.raises(RunError) as caught:
        open_run(tmp_path, "x")
    assert made[-1].id in str(caught.value)
    assert len(str(caught.value)) < 600


def test_create_says_why_it_could_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Harm: a full disk or a wrong folder shows as a stack trace, and leaves a half-made run behind."""
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="Could not create a run"):
        create_run(tmp_path / "file", {}, "wid")
    with pytest.raises(RunError, match="not JSON serializable"):
        create_run(tmp_path / "runs", {"shape": object()}, "wid")

    def full(file: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(runs.os, "fsync", full)
    with pytest.raises(RunError, match="No space left on device"):
        create_run(tmp_path / "runs", {}, "wid")
    assert list((tmp_path / "runs").iterdir()) == []


def test_config_card_and_parent_are_read_or_explained(run: Run) -> None:
    """Harm: a damaged file shows as a stack trace, or as no file at all."""
    assert run.config() == {"method": "wid"}
    assert run.parent is None
    assert run.card() is None
    for parent, read in (("20261122-143501-wid", "20261122-143501-wid"), ("", None), (None, None)):
        write_json(run.config_path, {"parent": parent})
        assert run.parent == read
    card = json.loads((OLD_RUN / "card.json").read_text())
    write_json(run.card_path, card)
    assert run.card() == card
    for damaged in ("{", "[]", "\x00", '{"metrics": [1, 2]}'):
        run.card_path.write_text(damaged)
        with pytest.raises(RunError, match="card.json"):
            run.card()
    run.config_path.unlink()
    with pytest.raises(RunError, match="No such file"):
        run.config()


def test_a_write_that_fails_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Harm: a crash while the card is rewritten destroys the only record of a finished run."""
    path = tmp_path / "card.json"
    write_json(path, {"version": 1})
    with pytest.raises(TypeError):
        write_json(path, {"version": object()})

    def crash(source: Path, target: Path) -> None:
        raise OSError(errno.EIO, "pulled out")

    with monkeypatch.context() as patch:
        patch.setattr(runs.os, "replace", crash)
        with pytest.raises(OSError, match="pulled out"):
            write_json(path, {"version": 2})
    assert json.loads(path.read_text()) == {"version": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["card.json"]
    write_json(path, {"version": 3})
    assert json.loads(path.read_text()) == {"version": 3}


def test_a_reader_never_sees_half_a_file(tmp_path: Path) -> None:
    """Harm: the page reads a file in the moment it is rewritten and reports it as damaged."""
    path = tmp_path / "card.json"
    write_json(path, {"blob": "0" * 50_000})

    def rewrite() -> None:
        for digit in range(10):
            write_json(path, {"blob": str(digit) * 50_000})

    writer = threading.Thread(target=rewrite)
    writer.start()
    while writer.is_alive():
        assert len(set(json.loads(path.read_text())["blob"])) == 1
    writer.join()
