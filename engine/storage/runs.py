"""Run folders: one folder a training run, holding its config, its events and what it made.

Knows how to keep them whole through crashes and full disks and to tell a run's status. Knows no training, no torch.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, Literal

import psutil

from engine.settings.error_text import disk_reason
from engine.storage.atomic import write_json
from engine.storage.checksums import check_files, check_seal, listed_files, refuse_newer

Status = Literal["waiting", "running", "stopping", "stopped", "finished", "failed", "died"]
ENDED: tuple[Status, ...] = ("finished", "stopped", "failed", "died")  # the first three are event kinds too

CARD_FORMAT = 1  # of a card; older ones have no number
EVENTS_FORMAT = 1  # of events; a "started" event tells it, older ones do not
STARTING_S = 10.0  # a run with no process yet counts as starting this long; starting one takes milliseconds
SAME_START_S = 2.0  # start times move a little when the system clock is set; no pid is reused this quickly
RUN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,119}")


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

    def append(self, event: dict[str, Any]) -> dict[str, Any]:
        """Add one event; returns it with its 'time' (Unix seconds). Raises RunError; TypeError if not JSON."""
        if not isinstance(event.get("kind"), str):
            raise RunError(f"An event needs a 'kind' that is text, but this one has only: {', '.join(event)}.")
        event = {**event, "time": time.time()}
        line = json.dumps(event).encode() + b"\n"
        with _as_run_error(f"write an event of run '{self.id}'"), self.events_path.open("a+b", buffering=0) as file:
            # A killed writer may have left half a line: end it, or it would swallow this event.
            if size := file.seek(0, os.SEEK_END):
                file.seek(size - 1)
                line = line if file.read(1) == b"\n" else b"\n" + line
            while line:  # one write, unless the disk fills up midway: then the next one raises
                line = line[file.write(line) :]
        return event

    def events(self, after: int = 0) -> tuple[list[dict[str, Any]], int]:
        """The events from byte offset `after` on, and the offset to ask from next time.

        A last line still being written is held back until it is whole; a corrupt line is skipped.
        """
        if not self.events_path.exists():
            return [], 0
        with _as_run_error(f"read the events of run '{self.id}'"), self.events_path.open("rb") as file:
            file.seek(max(after, 0))
            data = file.read()
        whole = data.rfind(b"\n") + 1
        return [event for line in data[:whole].split(b"\n") if (event := _parse(line))], max(after, 0) + whole

    def last_event(self) -> dict[str, Any] | None:
        """The newest event, or None. Reads only the end of the file."""
        size = self.events_path.stat().st_size if self.events_path.exists() else 0
        window = 1 << 16
        while not (events := self.events(size - window)[0]) and window < size:
            window *= 8
        return events[-1] if events else None

    def config(self) -> dict[str, Any]:
        """What the run was asked to do. Raises RunError if config.json is missing or damaged."""
        return _read_object(self.config_path)

    def card(self) -> dict[str, Any] | None:
        """What came out; None while there is no card. Where card.json is damaged, the same card beside the student.

        Raises RunError if both are damaged, or of a later version.
        """
        if not self.card_path.exists():
            return None
        try:
            return _read_card(self.card_path)
        except RunError:
            with suppress(OSError, ValueError):
                if "card.json" in listed_files(self.student_dir):
                    check_files(self.student_dir, ["card.json"])
                    return _read_card(self.student_dir / "card.json")
            raise

    def budget(self) -> dict[str, Any]:
        """How many steps its budget came to. Raises RunError if budget.json is missing or damaged."""
        return _read_object(self.budget_path)

    def request_stop(self) -> None:
        """Ask the run to save a checkpoint and stop; returns at once. Raises RunError if the disk refuses."""
        with _as_run_error(f"ask run '{self.id}' to stop"):
            self.stop_path.touch()

    def stop_requested(self) -> bool:
        """Whether somebody asked the run to stop."""
        return self.stop_path.exists()

    def clear_stop(self) -> None:
        """Take back a stop request."""
        self.stop_path.unlink(missing_ok=True)

    def write_process(self, pid: int, create_time: float) -> None:
        """Record which process works on this run. `create_time`: psutil's, in Unix seconds. Raises OSError."""
        write_json(self.process_path, {"pid": pid, "create_time": create_time})

    def process(self) -> tuple[int, float] | None:
        """(pid, create_time) of the process recorded last, alive or not; None if there is no such record."""
        with suppress(KeyError, TypeError, ValueError, OverflowError):
            record = _read_object(self.process_path)
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
        kind: Any = (self.last_event() or {}).get("kind")
        if kind in ENDED:
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
        return str(last.get("message", "")) if last and last["kind"] == "failed" else None


def create_run(root: Path, config: dict[str, Any], name: str) -> Run:
    """Make a new run folder, its id the local time and `name`, never one that exists. Raises RunError."""
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60].rstrip("-") or "run"
    stem = f"{time.strftime('%Y%m%d-%H%M%S')}-{slug}"
    with _as_run_error(f"create a run in {root}"):
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
    """The runs under `root`, newest first; anything else that lies there is left out. Raises RunError."""
    with _as_run_error(f"list the runs in {root}"):
        paths = Path(root).absolute().iterdir() if Path(root).exists() else []
        made = [(key, path) for path in paths if (key := _creation_key(Run(path)))]
    return [Run(path) for _, path in sorted(made, reverse=True)]


def open_run(root: Path, id: str) -> Run:
    """The run of that id. Raises RunError, naming some there are, if there is none or the id is no folder's name."""
    if RUN_ID.fullmatch(id) and _creation_key(run := Run(Path(root).absolute() / id)):
        return run
    known = ", ".join(run.id for run in list_runs(root)[:5]) or "none yet"
    raise RunError(f"There is no run {id[:120]!r} in {root}. The newest there: {known}.")


def _read_object(path: Path) -> dict[str, Any]:
    """The JSON object in a file. Raises RunError."""
    with _as_run_error(f"read {path}"):
        value = json.loads(path.read_bytes())
        if not isinstance(value, dict):
            raise TypeError(f"expected a JSON object, found a {type(value).__name__}")
        return value


def _read_card(path: Path) -> dict[str, Any]:
    """The card in a file. Raises RunError if it is damaged, by its checksum too, or of a later version."""
    card = _read_object(path)
    with _as_run_error(f"read {path}"):
        check_seal(card)
        refuse_newer(card.get("format"), CARD_FORMAT, "It")
    return card


def _parse(line: bytes) -> dict[str, Any] | None:
    """The event in a line, or None if it holds none that can be read."""
    with suppress(ValueError, RecursionError):
        event = json.loads(line)
        return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None
    return None


def _creation_key(run: Run) -> tuple[str, int, str] | None:
    """When a run was made, to sort by; None if there is no run folder (any more), or only a link to somewhere else."""
    with suppress(OSError):
        links = any(path.is_symlink() for path in (run.path, run.config_path, run.events_path))
        if RUN_ID.fullmatch(run.id) and not links and run.config_path.is_file():
            # The id starts with a second; the config, written once, settles the order within it.
            return run.id[:15], run.config_path.stat().st_mtime_ns, run.id
    return None


@contextmanager
def _as_run_error(doing: str) -> Iterator[None]:
    """Turn what the file system or the JSON reader says into a sentence."""
    try:
        yield
    except (OSError, TypeError, ValueError, RecursionError) as error:
        advice = " Check that the folder is there, writable and not full." if isinstance(error, OSError) else ""
        raise RunError(f"Could not {doing}: {disk_reason(error)}.{advice}") from error
