"""A run's events.jsonl, read line by line, or as a history that stays small however long the run was.

Knows how lines become events and which of a million are kept; what stands in them is checked in run_records.py.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

from engine.storage.json_file import JsonFileError, open_regular, parse_json
from engine.storage.run_records import NEEDED_OF_EVENTS, event_problem

Event = dict[str, Any]
LONGEST_LINE = 16_000_000  # bytes of an event; a longer line is passed over
PIECE = 1 << 16  # bytes that are read at a time
MOST_STEPS = 2_000  # step events that are kept; a curve has 500 points
MOST_OF_A_KIND = 2_000  # other events of one kind that are kept
MOST_BYTES = 32_000_000  # of the lines of one kind that are kept
STEP = b'{"kind": "step",'  # how the line of a step begins, as the engine writes it


def parse_event(line: bytes) -> Event | None:
    """The event in a line, or None if it holds none that can be read."""
    with suppress(JsonFileError):
        event = parse_json(line) if line.strip() else None
        return event if isinstance(event, dict) and isinstance(event.get("kind"), str) else None
    return None


def whole_lines(file: BinaryIO, offset: int) -> Iterator[tuple[bytes, int]]:
    """(line, the offset behind it) of each whole line from `offset` on; one that is too long is an empty one."""
    file.seek(offset)
    rest, dropped = b"", 0
    while piece := file.read(PIECE):
        *lines, rest = (rest + piece).split(b"\n")
        for line in lines:
            offset += dropped + len(line) + 1
            yield (b"" if dropped else line), offset
            dropped = 0
        if len(rest) > LONGEST_LINE:
            dropped, rest = dropped + len(rest), b""


class _Thinned:
    """Some of many events, evenly spread: every first, second, fourth ..., so that there are never more than `most`."""

    def __init__(self, most: int) -> None:
        self.most, self.stride, self.seen, self.bytes = most, 1, 0, 0
        self.kept: dict[int, tuple[int, int, Event]] = {}  # offset -> (which one it was, bytes of its line, event)

    def add(self, offset: int, size: int, event: Event | None) -> None:
        """Counts the next event, and keeps it, unless it is None or none of the chosen ones."""
        if event is not None and self.seen % self.stride == 0:
            self.kept[offset] = (self.seen, size, event)
            self.bytes += size
            while len(self.kept) > 1 and (len(self.kept) > self.most or self.bytes > MOST_BYTES):
                self.stride *= 2
                self.kept = {at: one for at, one in self.kept.items() if one[0] % self.stride == 0}
                self.bytes = sum(one[1] for one in self.kept.values())
        self.seen += 1

    def forget_after(self, step: int) -> None:
        """Drops what came after `step`, which is done again."""
        self.kept = {at: one for at, one in self.kept.items() if one[2]["step"] <= step}
        self.bytes = sum(one[1] for one in self.kept.values())


class EventHistory:
    """What a page shows of a run's events, read once and then only what has been added. Safe between threads.

    Of step events some are kept, evenly spread, with the newest and those before an event of another kind; of other
    kinds all, unless there are thousands. Events that lack what their kind needs are left out. Memory is bounded.
    """

    def __init__(self, path: Path) -> None:
        """`path`: the file, which need not be there yet."""
        self.path, self._lock = path, threading.Lock()
        self._shown: list[Event] = []  # what `read` gave last
        self._forget()

    def read(self) -> list[Event]:
        """The history by now, in the order in which it was written; nobody may change its events.

        Raises:
            OSError, JsonFileError: the file cannot be read.
        """
        with self._lock:
            try:
                with open_regular(self.path, links=False) as file:
                    changed = self._read_on(file)
            except FileNotFoundError:
                self._forget()
                changed = True
            if changed:
                kept = {at: one[2] for thinned in self._kinds.values() for at, one in thinned.kept.items()}
                self._shown = [event for _, event in sorted((kept | self._newest()).items(), key=lambda pair: pair[0])]
            return list(self._shown)

    def _forget(self) -> None:
        self._offset, self._file = 0, (0, 0)
        self._kinds: dict[str, _Thinned] = {}
        self._last_step: tuple[int, bytes] | None = None  # the newest step line that was not looked into
        self._last: dict[int, Event] = {}  # the newest event of all
        self._shown = []

    def _newest(self) -> dict[int, Event]:
        if self._last_step is None:
            return self._last
        event = parse_event(self._last_step[1])
        return self._last | ({self._last_step[0]: event} if event and not event_problem(event) else {})

    def _read_on(self, file: BinaryIO) -> bool:
        """Whether there was something new."""
        found = os.fstat(file.fileno())
        if self._file != (found.st_dev, found.st_ino) or found.st_size < self._offset:
            self._forget()  # another file than before
            self._file = (found.st_dev, found.st_ino)
        if self._offset and found.st_size == self._offset:
            return False
        file.seek(self._offset)
        rest = b""
        while piece := file.read(PIECE):
            end = piece.rfind(b"\n") + 1
            if end:
                self._take(rest + piece[:end])
                rest = piece[end:]
            elif len(rest) > LONGEST_LINE:
                self._offset += len(rest)
                rest = piece  # its end is no JSON and will be passed over
            else:
                rest += piece
        return True

    def _take(self, data: bytes) -> None:
        """Whole lines; those of steps that are not kept are not even parsed."""
        at, steps, line = self._offset, self._kinds.setdefault("step", _Thinned(MOST_STEPS)), b""
        newest: tuple[int, bytes] | None = None  # step line since the last other one
        for line in data[:-1].split(b"\n"):
            if line.startswith(STEP):
                if steps.seen % steps.stride:
                    steps.seen += 1
                else:
                    event = parse_event(line)
                    whole = event is not None and event["kind"] == "step" and not event_problem(event)
                    steps.add(at, len(line), event if whole else None)
                newest = at, line
            elif event := parse_event(line):
                if newest is not None:
                    self._last, self._last_step, newest = {}, newest, None
                self._take_other(at, len(line), event)
            at += len(line) + 1
        if newest is not None:
            self._last, self._last_step = {}, newest
        self._offset += len(data)

    def _take_other(self, at: int, size: int, event: Event) -> None:
        kind = event["kind"]
        if event_problem(event):
            return
        pinned, self._last_step = self._newest(), None
        for place, step in pinned.items():  # the step before it: what was reached by then
            if step["kind"] == "step":
                self._kinds.setdefault("", _Thinned(MOST_OF_A_KIND)).add(place, 0, step)
        if kind == "start":
            for name in ("step", ""):
                self._kinds.setdefault(name, _Thinned(MOST_STEPS)).forget_after(event["step"])
        if kind in NEEDED_OF_EVENTS:
            self._kinds.setdefault(kind, _Thinned(MOST_OF_A_KIND)).add(at, size, event)
        self._last = {at: event}
