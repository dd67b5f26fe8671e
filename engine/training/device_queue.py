"""Turns: one device works on one run at a time, in the order in which the runs came."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from filelock import BaseFileLock, FileLock, Timeout

from engine.storage.run_records import is_number
from engine.storage.runs import Run, RunError, list_runs

POLL_S = 0.1  # how often a waiting run looks whether its device is free


def wait_for_device(run: Run, lock: BaseFileLock, device: str) -> Iterator[dict[str, Any]]:
    """Ends when the device is ours or a stop is requested; yields one 'waiting' event if it is not ours at once."""
    since = float("inf")
    while not run.stop_requested():
        with suppress(Timeout):
            lock.acquire(timeout=0)
            if not _someone_before(run, device, since):
                return
            lock.release()
        if since == float("inf"):
            since = (event := run.append({"kind": "waiting", "device": device}))["time"]
            yield event
        time.sleep(POLL_S)


def _someone_before(run: Run, device: str, since: float) -> bool:
    """Whether another run has waited for the device since before `since`. Asked only while nobody holds it."""
    for other in list_runs(run.path.parent):
        try:
            last = other.last_event() or {}
        except RunError:  # nobody waits for a run that cannot be read
            continue
        when = last.get("time", since)
        ahead = last.get("kind") == "waiting" and last.get("device") == device and is_number(when) and when < since
        if ahead and other.id != run.id and other.status() == "waiting":
            return True
    return False


def run_lock(run: Run, name: str) -> BaseFileLock:
    """A lock shared by all runs of one root; the system releases it when its holder ends, however it ends."""
    folder = run.path.parent / ".locks"
    folder.mkdir(exist_ok=True)
    return FileLock(folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', name)}.lock")
