"""Run folders: one folder a training run, holding its config, its events and what it made.

Knows how to keep them whole through crashes and full disks and to tell a run's status. Knows no training, no torch.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import psutil

from engine.settings.error_text import disk_reason
from engine.storage.atomic import write_json
from engine.storage.checksums import check_files, check_seal, listed_files, refuse_newer
from engine.storage.events_file import EventHistory, parse_event, whole_lines
from engine.storage.json_file import JsonFileError, open_regular, read_json_object
from engine.storage.run_records import RunRecordError, check_card

Status = Literal["waiting", "running", "stopping", "stopped", "finished", "failed", "died", "unreadable"]
LAST_WORDS = ("finished", "stopped", "failed")  # kinds of events after which nothing comes
ENDED: tuple[Status, ...] = ("finished", "stopped", "failed", "died", "unreadable")

CARD_FORMAT = 1  # of a card; older ones have no number
EVENTS_FORMAT = 1  # of events; a "started" event tells it, older ones do not
STARTING_S = 10.0  # a run with no process yet counts as starting this long; starting one takes milliseconds
SAME_START_S = 2.0  # start times move a little when the system clock is set; no pid is reused this quickly
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")
LONGEST_MESSAGE = 4_000  # characters of why a run failed


class RunError(ValueError):
    """A run folder that cannot be made, found, read or written. The message says which, why and what to do."""


class _PathInside:
    """A path inside a run folder."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, run: Run, owner: type[Run]) -> Path:
        return run.path / self.name


@dataclass(frozen=True)
class Run:
    """One run folder. Holds no state of its own: everything is read from the folder when asked for."""

    path: Path

    config_path = _PathInside("config.json")  # what the run was asked to do, written once
    budget_path = _PathInside("budget.json")  # how many steps its budget came to, and what they were expected to take
    events_path = _PathInside("events.jsonl")  # what happened, one JSON object a line, oldest first
    log_path = _PathInside("log.txt")  # everything the process printed, tracebacks included
    card_path = _PathInside("card.json")  # what came out, written at the end
    student_dir = _PathInside("student")  # the finished student's weights and tokenizer
    attention_dir = _PathInside("attention")  # where the student looked, at some steps
    checkpoints_dir = _PathInside("checkpoints")  # what a stopped run continues from
    process_path = _PathInside("process.json")  # which process works on the run
    reserve_path = _PathInside("reserve")  # bytes that are let go when the disk is full, so that the run can say so
    stop_path = _PathInside("stop")  # its presence asks the run to stop

    @property
    def id(self) -> str:
        """The folder's name."""
        return self.path.name

    @property
    def parent(self) -> str | None:
        """The id of the run this one started from, or None. Raises RunError as config() does."""
        return str(self.config().get("parent") or "") or None

    def problem(self) -> str:
        """Why the run cannot be read, in one sentence; empty where it can.

        The folder, its config and its events; a damaged card is told by `card`.
        """
        try:
            if found := self._link():
                raise JsonFileError(f"{found} is a link to somewhere else")
            for path, check in ((self.config_path, _check_object), (self.events_path, _check_opens)):
                try:
                    check(path)
                except (OSError, JsonFileError) as error:
                    reason = f"cannot be opened: {disk_reason(error)}" if isinstance(error, OSError) else str(error)
                    raise JsonFileError(f"its {path.name} {reason}") from error
        except JsonFileError as error:
            return f"The run {self.id} cannot be read: {error}."
        return ""

    def _link(self) -> str:
        """What of the run is a link, by which a folder from elsewhere could show what is not its own; or nothing."""
        if self.path.is_symlink():
            return "its folder"
        inside = (self.config_path, self.events_path, self.card_path, self.student_dir, self.attention_dir)
        for path in (*inside, self.checkpoints_dir, self.process_path, self.stop_path, self.log_path):
            if path.is_symlink():
                return f"its {path.name}"
        with suppress(OSError):
            for entry in os.scandir(self.student_dir):
                if entry.is_symlink():
                    return f"its {self.student_dir.name}/{entry.name}"
        return ""

    def append(self, event: dict[str, Any]) -> dict[str, Any]:
        """Add one event; returns it with its 'time' (Unix seconds). Raises RunError; TypeError if not JSON."""
        if not isinstance(event.get("kind"), str):
            raise RunError(f"An event needs a 'kind' that is text, but this one has only: {', '.join(event)}.")
        event = {**event, "time": time.time()}
        line = json.dumps(event).encode() + b"\n"
        with _as_run_error(f"write an event of run '{self.id}'"):
            _check_opens(self.events_path)  # opening a pipe would wait for ever
        with _as_run_error(f"write an event of run '{self.id}'"), self.events_path.open("a+b", buffering=0) as file:
            # A killed writer may have left half a line: end it, or it would swallow this event.
            if size := file.seek(0, os.SEEK_END):
                file.seek(size - 1)
                line = line if file.read(1) == b"\n" else b"\n" + line
            while line:  # one write, unless the disk fills up midway: then the next one raises
                line = line[file.write(line) :]
        return event

    def events(self, after: int = 0, kinds: Sequence[str] = ()) -> tuple[list[dict[str, Any]], int]:
        """The events from byte offset `after` on, and the offset to ask from next time.

        A last line still being written is held back until it is whole; a corrupt line is skipped. `kinds`: only these.
        What is in them is not checked: see engine/storage/run_records.py, and events_file.py for a long run.

        Raises:
            RunError: the file cannot be read.
        """
        found, end, marks = [], max(after, 0), [f'"{kind}"'.encode() for kind in kinds]
        with _as_run_error(f"read the events of run '{self.id}'"), suppress(FileNotFoundError):
            with open_regular(self.events_path, links=False) as file:
                for line, end in whole_lines(file, max(after, 0)):  # noqa: B007 - where it ended
                    if marks and not any(mark in line for mark in marks):
                        continue
                    if (event := parse_event(line)) and (not kinds or event["kind"] in kinds):
                        found.append(event)
            return found, end
        return [], 0

    def history(self, kept: EventHistory | None = None) -> list[dict[str, Any]]:
        """Events as a page shows them: checked, and of a very long run some. `kept`: read on from where it is.

        Raises:
            RunError: the file cannot be read.
        """
        with _as_run_error(f"read the events of run '{self.id}'"):
            return (kept or EventHistory(self.events_path)).read()

    def events_size(self) -> int:
        """Bytes of events by now: whatever is appended from here on lies behind them. Raises RunError."""
        with _as_run_error(f"read the events of run '{self.id}'"), suppress(FileNotFoundError):
            return self.events_path.lstat().st_size
        return 0

    def last_event(self) -> dict[str, Any] | None:
        """The newest event, or None. Reads only the end of the file. Raises RunError as `events` does."""
        size, window = self.events_size(), 1 << 16
        while not (events := self.events(size - window)[0]) and window < size:
            window *= 8
        return events[-1] if events else None

    def config(self) -> dict[str, Any]:
        """What the run was asked to do. Raises RunError if config.json is missing or damaged."""
        return self._read(self.config_path)

    def card(self) -> dict[str, Any] | None:
        """What came out, or None while there is no card. What engine/storage/run_records.py lists is there and fits.

        Where card.json is damaged, the same card beside the student.

        Raises:
            RunError: both are damaged, of a later version, or hold something else.
        """
        if not os.path.lexists(self.card_path):
            return None
        try:
            return self._read_card(self.card_path)
        except RunError:
            with suppress(OSError, ValueError):
                if "card.json" in listed_files(self.student_dir):
                    check_files(self.student_dir, ["card.json"])
                    return self._read_card(self.student_dir / "card.json")
            raise

    def _read_card(self, path: Path) -> dict[str, Any]:
        card = self._read(path)
        with _as_run_error(f"read {path.name} of run '{self.id}'"):
            check_seal(card)
            refuse_newer(card.get("format"), CARD_FORMAT, "It")
        try:
            check_card(card)
        except RunRecordError as error:
            raise RunError(f"The {path.name} of run '{self.id}' {error}.") from error
        return card

    def budget(self) -> dict[str, Any]:
        """How many steps its budget came to. Raises RunError if budget.json is missing or damaged."""
        return self._read(self.budget_path)

    def _read(self, path: Path) -> dict[str, Any]:
        """The JSON object in a file of the folder. Raises RunError."""
        with _as_run_error(f"read {path.name} of run '{self.id}'"):
            try:
                return read_json_object(path, links=False)
            except JsonFileError as error:
                raise RunError(f"The {path.name} of run '{self.id}' {error}.") from error

    def request_stop(self) -> None:
        """Ask the run to save a checkpoint and stop; returns at once. Raises RunError if the disk refuses."""
        with _as_run_error(f"ask run '{self.id}' to stop"):
            self.stop_path.touch()

    def stop_requested(self) -> bool:
        """Whether somebody asked the run to stop."""
        return self.stop_path.exists()

    def clear_stop(self) -> None:
        """Take back a stop request."""
        with _as_run_error(f"take back the stop request of run '{self.id}'"):
            self.stop_path.unlink(missing_ok=True)

    def write_process(self, pid: int, create_time: float) -> None:
        """Record which process works on this run. `create_time`: psutil's, in Unix seconds. Raises OSError."""
        write_json(self.process_path, {"pid": pid, "create_time": create_time})

    def process(self) -> tuple[int, float] | None:
        """(pid, create_time) of the process recorded last, alive or not; None if there is no such record."""
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            record = self._read(self.process_path)
            return int(record["pid"]), float(record["create_time"])
        return None

    def alive(self) -> bool:
        """Whether the recorded process still runs: that very process, not a later one with its pid, not a zombie."""
        pid, create_time = self.process() or (-1, 0.0)
        with suppress(psutil.Error, ValueError, OverflowError):  # no such process, or no such number
            process = psutil.Process(pid)
            same = abs(process.create_time() - create_time) < SAME_START_S
            return same and process.status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
        return False

    def status(self) -> Status:
        """What the run is doing now, told from its last event and its process; stored nowhere."""
        # The process first: one that ends in between has written its last word before the events are read.
        process, alive = self.process(), self.alive()
        try:
            kind: Any = (self.last_event() or {}).get("kind")
        except RunError:
            return "unreadable"
        if self.problem():
            return "unreadable"
        if kind in LAST_WORDS:
            return kind
        if not alive:
            sign = self.events_path if kind else self.config_path
            if process or not sign.exists() or abs(time.time() - sign.stat().st_mtime) > STARTING_S:
                return "died"
        in_line = kind in (None, "queued", "waiting")
        return "stopping" if self.stop_requested() else "waiting" if in_line else "running"

    def error(self) -> str | None:
        """Why the run failed, in one sentence, or None if it did not."""
        last = self.last_event()
        return str(last.get("message", ""))[:LONGEST_MESSAGE] if last and last["kind"] == "failed" else None


def create_run(root: Path, config: dict[str, Any], name: str) -> Run:
    """Make a new run folder, its id the local time and `name`, never one that exists. Raises RunError."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].rstrip("-") or "run"
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug}"
    with _as_run_error(f"create a run in the folder {Path(root).name}"):
        Path(root).mkdir(parents=True, exist_ok=True)
        for number in count(1):
            run = Run(Path(root).absolute() / (stem if number == 1 else f"{stem}-{number}"))
            with suppress(FileExistsError):
                run.path.mkdir()
                break
        try:
            write_json(run.config_path, config)
        except BaseException:
            run.path.rmdir()
            raise
    return run


def list_runs(root: Path) -> list[Run]:
    """The runs under `root`, newest first; anything else that lies there is left out.

    One that cannot be read is among them: its status is "unreadable", and its `problem` says why. Raises RunError if
    the folder itself cannot be read.
    """
    with _as_run_error(f"list the runs in the folder {Path(root).name}"):
        paths = Path(root).absolute().iterdir() if Path(root).exists() else []
        made = [(key, path) for path in paths if (key := _creation_key(Run(path)))]
    return [Run(path) for _, path in sorted(made, reverse=True)]


def open_run(root: Path, id: str) -> Run:
    """The run of that id. Raises RunError, naming some there are, if there is none or the id is no folder's name."""
    if RUN_ID.fullmatch(id) and _creation_key(run := Run(Path(root).absolute() / id)):
        if problem := run.problem():
            raise RunError(problem)
        return run
    known = ", ".join(run.id for run in list_runs(root)[:5]) or "none yet"
    raise RunError(f"There is no run {id[:120]!r} in the folder {Path(root).name}. The newest there: {known}.")


def _check_object(path: Path) -> None:
    read_json_object(path, links=False)


def _check_opens(path: Path) -> None:
    """Whether it is a file that can be read, or not there yet."""
    with suppress(FileNotFoundError), open_regular(path, links=False):
        pass


def _creation_key(run: Run) -> tuple[str, int, str] | None:
    """When a run was made, to sort by; None if there is no run folder (any more)."""
    if not RUN_ID.fullmatch(run.id):
        return None
    try:
        if run.path.is_symlink():
            return (run.id[:15], run.path.lstat().st_mtime_ns, run.id) if run.path.is_dir() else None
        # The id starts with a second; the config, written once, settles the order within it.
        return run.id[:15], run.config_path.lstat().st_mtime_ns, run.id
    except PermissionError:  # another person's
        return run.id[:15], 0, run.id
    except OSError:
        return None


@contextmanager
def _as_run_error(doing: str) -> Iterator[None]:
    """Turn what the file system or the JSON reader says into a sentence."""
    try:
        yield
    except RunError:
        raise
    except (OSError, TypeError, ValueError, RecursionError) as error:
        advice = " Check that the folder is there, writable and not full." if isinstance(error, OSError) else ""
        raise RunError(f"Could not {doing}: {disk_reason(error)}.{advice}") from error
