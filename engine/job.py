"""A run in a process of its own, which outlives the page, the tab and the server that started it.

Knows how to start, queue, stop and end such a process, and that one device works on one run at a time. Knows nothing
of what training does: it appends whatever events train() yields. Loads torch only inside the started process.
"""

from __future__ import annotations

import faulthandler
import os
import re
import signal
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from textwrap import shorten
from typing import Any

import psutil
from filelock import BaseFileLock, FileLock, Timeout

from engine.config import RunConfig
from engine.runs import ENDED, Run, RunError, Status, create, list_runs, open_run

Train = Callable[[RunConfig, Run], Iterator[dict[str, Any]]]
DeviceOf = Callable[[RunConfig], str]

PROJECT = Path(__file__).resolve().parent.parent
COMMAND = (sys.executable, "-m", "engine.job")
POLL_S = 0.1  # how often a waiting run looks whether its device is free
FORCE_S = 5.0  # how long a process may take to end after SIGTERM, and then to vanish after SIGKILL


def _train(config: RunConfig, run: Run) -> Iterator[dict[str, Any]]:
    from engine.train import train  # here and not above: it loads torch

    yield from train(config, run)


def _device_of(config: RunConfig) -> str:
    from engine.device import pick

    return pick(config.device).type


def start(root: Path, config: dict[str, Any], name: str, command: Sequence[str] = COMMAND) -> Run:
    """Make a run folder and start `command` plus that folder in a new process; returns at once. Raises RunError."""
    run = create(root, config, name)
    run.append({"kind": "queued"})
    _spawn(run, command)
    return run


def resume(run: Run, command: Sequence[str] = COMMAND) -> Run:
    """Start working on an existing folder again; returns at once. Raises RunError if a process works on it already."""
    try:
        with _lock(run, f"start-{run.id}").acquire(timeout=0):  # two pages may ask at the same moment
            if run.alive() or run.status() not in ENDED:
                raise RunError(f"A process still works on run '{run.id}'. Wait for it, or stop it first.")
            run.clear_stop()
            run.process_path.unlink(missing_ok=True)
            run.append({"kind": "queued"})
            _spawn(run, command)
    except Timeout:
        raise RunError(f"Run '{run.id}' is being started elsewhere at this moment. Look again in a second.") from None
    return run


def stop(run: Run, grace_s: float = 20.0) -> Status:
    """Stop a run and wait until its process is gone: ask, then SIGTERM, then SIGKILL. Returns its status.

    `grace_s`: seconds that a request may take before force is used. An app, which cannot wait, calls
    run.request_stop() instead. Raises PermissionError if the process belongs to another user.
    """
    if _gone_within(run, 0):
        return run.status()
    run.request_stop()
    if not _gone_within(run, grace_s):
        _signal(run, signal.SIGTERM)
        if not _gone_within(run, min(grace_s, FORCE_S)):
            _signal(run, getattr(signal, "SIGKILL", signal.SIGTERM))
            _gone_within(run, FORCE_S)
        if run.status() == "died":  # of our signal, which left it no last word
            message = f"Stopped by force after {grace_s:g} s; what came after the last checkpoint is lost."
            run.append({"kind": "stopped", "forced": True, "message": message})
    return run.status()


def perform(run: Run, train: Train = _train, device_of: DeviceOf = _device_of) -> Iterator[dict[str, Any]]:
    """Work on a run in this process: wait for the device, train, append every event and yield it.

    Ends after a 'finished' or 'stopped' event. An exception becomes a 'failed' event whose 'message' is one sentence,
    its traceback goes to log.txt, and it is raised again. `device_of` names the device to take.
    """
    try:
        run.write_process(os.getpid(), psutil.Process().create_time())
        config = RunConfig.from_json(run.config())
        device = device_of(config)
        lock = _lock(run, f"device-{device}")
        try:
            yield from _wait_in_line(run, lock, device)
            if run.stop_requested():
                yield run.append({"kind": "stopped", "message": "Stopped before training began."})
                return
            yield run.append({"kind": "started", "device": device, "pid": os.getpid()})
            kind = ""
            for event in train(config, run):
                kind = event["kind"]
                yield run.append(event)
            if kind not in ENDED:
                raise RuntimeError(f"training ended on a '{kind}' event instead of 'finished' or 'stopped'")
        finally:
            lock.release()
    except Exception as error:
        with suppress(OSError), run.log_path.open("a", encoding="utf-8") as log:
            traceback.print_exception(error, file=log)
        with suppress(RunError):  # a full disk may be why we are here
            run.append({"kind": "failed", "message": _sentence(error)})
        raise


def work(run: Run, train: Train = _train, device_of: DeviceOf = _device_of) -> int:
    """perform() to its end, with SIGTERM turned into a stop request. Main thread only.

    Returns the exit code: 0 finished or stopped, 2 the run cannot be done as asked, 1 anything else went wrong.
    """
    stop_on(run, signal.SIGTERM)
    try:
        for _ in perform(run, train, device_of):
            pass
    except Exception as error:  # recorded already
        return 2 if isinstance(error, ValueError) else 1
    return 0


def stop_on(run: Run, *signals: signal.Signals) -> None:
    """From now on each of these signals asks the run to save and stop, and no longer ends the process."""
    owner = os.getpid()

    def ask(number: int, frame: object) -> None:
        if os.getpid() != owner:  # a forked data-loading worker inherits this; it should just end
            os._exit(128 + number)
        run.request_stop()

    for number in signals:
        signal.signal(number, ask)


def main(argv: Sequence[str], train: Train = _train, device_of: DeviceOf = _device_of) -> int:
    """`python -m engine.job <run folder>`. Returns the exit code, as work() does."""
    try:
        folder = Path(argv[0] if argv else ".").absolute()
        run = open_run(folder.parent, folder.name)
    except RunError as error:
        print(error, file=sys.stderr)
        return 2
    return work(run, train, device_of)


def _spawn(run: Run, command: Sequence[str]) -> None:
    """Start the process that works on the run, apart from this one's session, and record it. Raises RunError."""
    python_path = os.pathsep.join(filter(None, [str(PROJECT), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": python_path, "PYTHONUNBUFFERED": "1"}
    apart: dict[str, Any] = {"cwd": PROJECT, "env": environment, "start_new_session": True}
    if sys.platform == "win32":
        apart["creationflags"] = subprocess.CREATE_NEW_PROCESS_GROUP
    try:
        with run.log_path.open("ab") as log:
            command = [*command, str(run.path)]
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, **apart)
    except OSError as error:
        message = f"Could not start a process for run '{run.id}': {error.strerror or error}."
        run.append({"kind": "failed", "message": message})
        raise RunError(message) from error
    with suppress(psutil.Error, OSError):  # the process records itself too
        run.write_process(process.pid, psutil.Process(process.pid).create_time())
    # Nobody waits for the process; somebody has to collect its exit code, or it stays in the process table.
    threading.Thread(target=process.wait, daemon=True).start()


def _wait_in_line(run: Run, lock: BaseFileLock, device: str) -> Iterator[dict[str, Any]]:
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
        last = other.last_event() or {}
        ahead = last.get("kind") == "waiting" and last.get("device") == device and last.get("time", since) < since
        if ahead and other.id != run.id and other.status() == "waiting":
            return True
    return False


def _lock(run: Run, name: str) -> BaseFileLock:
    """A lock shared by all runs of one root; the system releases it when its holder ends, however it ends."""
    folder = run.path.parent / ".locks"
    folder.mkdir(exist_ok=True)
    return FileLock(folder / f"{re.sub(r'[^A-Za-z0-9.-]+', '-', name)}.lock")


def _gone_within(run: Run, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while run.alive() or run.status() not in ENDED:
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


def _signal(run: Run, number: int) -> None:
    """Signal the run's process, and its whole group if it leads one."""
    record = run.process()
    if record is None or not run.alive():
        return
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        if os.name == "posix" and os.getpgid(record[0]) == record[0]:
            os.killpg(record[0], number)
        else:  # a run in the foreground shares its group with the shell or script around it
            psutil.Process(record[0]).send_signal(number)


def _sentence(error: Exception) -> str:
    """What to tell a person. Our own errors are written for one; others come with their name and a pointer."""
    text = shorten(str(error), 400, placeholder=" …")
    if isinstance(error, ValueError):
        return text or type(error).__name__
    return f"{type(error).__name__}: {text} (details in log.txt)"


if __name__ == "__main__":
    faulthandler.enable()  # a crash in native code leaves at least a stack in log.txt
    sys.exit(main(sys.argv[1:]))
