"""A run in a process of its own, which outlives the page, the tab and the server that started it.

Knows how to start, stop, resume and end such a process, or several under torchrun. Knows nothing of what training
does: it appends whatever events train() yields. Loads torch only inside the started process.
"""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import psutil
from filelock import Timeout

from engine.settings.run_config import RunConfig
from engine.storage.atomic import write_json
from engine.storage.checksums import NewerFormatError, refuse_newer, sizes_fit
from engine.storage.failures import OutOfMemoryFailure, as_mendable, failure_sentence
from engine.storage.runs import ENDED, EVENTS_FORMAT, Run, RunError, Status, create_run, open_run
from engine.training.device_queue import POLL_S, run_lock, wait_for_device
from engine.training.launch import KILL, command_for, send, spawn

Train = Callable[[RunConfig, Run], Iterator[dict[str, Any]]]
DeviceOf = Callable[[RunConfig], str]

RESERVE = 1 << 15  # bytes that a run holds, to let go when the disk is full: room to say so
LEAVE_S = 20.0  # how long a process may take to end after its last event; torch needs a second or two
LET_GO_S = 5.0  # how long a process that is being ended may hold its run
FORCE_S = 5.0  # how long a process may take to end after SIGTERM, and then to vanish after SIGKILL


def _train(config: RunConfig, run: Run) -> Iterator[dict[str, Any]]:
    from engine.training.loop import train  # here and not above: it loads torch

    yield from train(config, run)


def _device_of(config: RunConfig) -> str:
    from engine.settings.device import pick_device

    return pick_device(config.device).type


def start(root: Path, config: dict[str, Any], name: str, command: Sequence[str] | None = None) -> Run:
    """Make a run folder and start the processes that work on it; returns at once. Raises RunError.

    `command`: what to start with the folder's path behind it, by default what the config's processes need.
    """
    run = create_run(root, config, name)
    run.append({"kind": "queued"})
    _start(run, command, config.get("processes"))
    return run


def prepare(root: Path, config: dict[str, Any], name: str) -> Run:
    """Make a run folder that nothing works on yet: for resume(), or a cluster (launch.cluster_command).

    Raises RunError.
    """
    run = create_run(root, config, name)
    run.append({"kind": "stopped", "message": "Prepared, not started."})
    return run


def resume(
    run: Run,
    command: Sequence[str] | None = None,
    processes: int | None = None,
    changes: dict[str, Any] | None = None,
) -> Run:
    """Start working on an existing folder again; returns at once. Raises as take_up().

    `processes`: how many on this machine, by default as many as its config says. They may differ from before.
    `changes`: to its config.
    """
    with _taking_up(run, changes):
        run.process_path.unlink(missing_ok=True)
        queue(run)
        _start(run, command, processes or run.config().get("processes"))
    return run


def take_up(run: Run, changes: dict[str, Any] | None = None) -> Run:
    """Say that this very process will work on an ended run again: perform() follows. `changes`: to its config.

    Raises:
        RunError: a process works on it already, or the folder cannot be written.
        ConfigError: the config with the changes is none.
    """
    with _taking_up(run, changes):
        queue(run)
        process = psutil.Process()
        run.write_process(process.pid, process.create_time())
    return run


@contextmanager
def _taking_up(run: Run, changes: dict[str, Any] | None = None) -> Iterator[None]:
    """Inside, nobody else takes up the run, which has ended.

    Raises RunError if somebody works on it, or it cannot be worked on.
    """
    _refuse_unwritable(run)
    try:
        with run_lock(run, f"start-{run.id}").acquire(timeout=0):  # two pages may ask at the same moment
            if problem := run.problem():
                raise RunError(problem)
            if at_work(run):
                raise RunError(f"A process still works on run '{run.id}'. Wait for it, or stop it first.")
            for event in run.events(kinds=("started",))[0]:
                try:
                    refuse_newer(event.get("format"), EVENTS_FORMAT, f"Run '{run.id}'")
                except NewerFormatError as error:
                    raise RunError(str(error)) from error
            if changes:
                config = RunConfig.from_json({**run.config(), **changes})
                made = run.config_path.stat()
                write_json(run.config_path, config.to_json())
                os.utime(run.config_path, ns=(made.st_atime_ns, made.st_mtime_ns))  # runs are listed by it
            yield
    except Timeout:
        raise RunError(f"Run '{run.id}' is being started elsewhere at this moment. Look again in a second.") from None


def can_resume(run: Run) -> bool:
    """Whether it makes sense to go on with a run: it stopped or died, or failed or lost its student with a checkpoint.

    Looks at the sizes of files only; whether a checkpoint is whole to its last bit is seen when it is read.
    """
    status = run.status()
    if status == "failed" or (status == "finished" and not (run.student_dir.is_dir() and sizes_fit(run.student_dir))):
        states = run.checkpoints_dir.glob("step-*/state.pt")
        return any(state.stat().st_size and sizes_fit(state.parent) for state in states)
    return status in ("stopped", "died")


def at_work(run: Run) -> bool:
    """Whether a process works on the run. One that has said its last word needs a moment to leave, and gets it."""
    if (run.process() or (0, 0.0))[0] == os.getpid():  # this one: it will not leave while it asks
        return run.status() not in ENDED
    return run.status() not in ENDED or not _gone_within(run, LEAVE_S)


def queue(run: Run) -> None:
    """Say that an ended run will be worked on again: its old last word and stop request count no more."""
    run.clear_stop()
    run.append({"kind": "queued"})


def stop(run: Run, grace_s: float = 20.0) -> Status:
    """Stop a run and wait until its process is gone: ask, then SIGTERM, then SIGKILL. Returns its status.

    `grace_s`: seconds that a request may take before force is used. An app, which cannot wait, calls
    run.request_stop() instead. Raises PermissionError if the process belongs to another user.
    """
    if _gone_within(run, 0):
        return run.status()
    run.request_stop()
    if not _gone_within(run, grace_s):
        send(run, signal.SIGTERM)
        if not _gone_within(run, min(grace_s, FORCE_S)):
            send(run, KILL)
            _gone_within(run, FORCE_S)
        if run.status() == "died":  # of our signal, which left it no last word
            message = f"Stopped by force after {grace_s:g} s; what came after the last checkpoint is lost."
            run.append({"kind": "stopped", "forced": True, "message": message})
    return run.status()


def perform(run: Run, train: Train = _train, device_of: DeviceOf = _device_of) -> Iterator[dict[str, Any]]:
    """Work on a run in this process: wait for the device, train, append every event and yield it.

    Ends after a 'finished' or 'stopped' event. An exception becomes a 'failed' event whose 'message' is one sentence,
    its traceback goes to log.txt, and it is raised again. `device_of` names the device to take. Under torchrun every
    process of the run does this: rank 0 takes the device and appends the events, the others train along in silence.

    Raises:
        RunError: another process works on the run, or its folder cannot be written; nothing is appended. Or the disk
            or the memory was too small, which the run's events say, too.
    """
    rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    with _alone(run) if rank == 0 else nullcontext():
        yield from _perform(run, train, device_of, rank, size)


def _perform(run: Run, train: Train, device_of: DeviceOf, rank: int, size: int) -> Iterator[dict[str, Any]]:
    starter = os.getppid()  # under torchrun: the process that watches over all others of this machine
    tell = run.append if rank == 0 else dict
    try:
        if rank == 0:
            leader = psutil.Process(starter if size > 1 else None)
            run.write_process(leader.pid, leader.create_time())
        config = RunConfig.from_json(run.config())
        device = device_of(config)
        agree = _agreement(size)
        lock = run_lock(run, f"device-{device}")
        try:
            if rank == 0:
                yield from wait_for_device(run, lock, device)
            if not agree(not run.stop_requested()):
                yield tell({"kind": "stopped", "message": "Stopped before training began."})
                return
            yield tell({"kind": "started", "device": device, "pid": os.getpid(), "format": EVENTS_FORMAT})
            kind = ""
            for event in train(config, run):
                kind = event["kind"]
                yield tell(event)
                if size > 1 and os.getppid() != starter:
                    sys.exit(f"torchrun was killed, so process {rank + 1} of {size} ends, too")
            if kind not in ENDED:
                raise RuntimeError(f"training ended on a '{kind}' event instead of 'finished' or 'stopped'")
        finally:
            lock.release()
    except Exception as error:
        run.reserve_path.unlink(missing_ok=True)  # a full disk may be why we are here
        with suppress(OSError), run.log_path.open("a", encoding="utf-8") as log:
            traceback.print_exception(error, file=log)
        mendable = as_mendable(run, error)
        if size == 1 or os.getppid() == starter:
            with suppress(RunError, OSError):
                _tell_failure(run, mendable or error, f"Process {rank + 1} of {size}: " if rank else "")
        if mendable and mendable is not error:
            raise mendable from error
        raise


@contextmanager
def _alone(run: Run) -> Iterator[None]:
    """Inside, this process is the only one that works on the run; the system lets go when it ends, however it ends.

    Raises RunError if it is not, or the folder cannot be written.
    """
    _refuse_unwritable(run)
    lock = run_lock(run, f"work-{run.id}")
    try:
        lock.acquire(timeout=LET_GO_S)
    except Timeout:
        raise RunError(f"Another process works on run '{run.id}'. Wait for it, or stop it first.") from None
    try:
        with suppress(OSError):
            run.reserve_path.write_bytes(bytes(RESERVE))
        yield
    finally:
        with suppress(OSError):
            run.reserve_path.unlink(missing_ok=True)
        lock.release()


def _refuse_unwritable(run: Run) -> None:
    """Raises RunError if nothing can be written into the run's folder."""
    if not os.access(run.path, os.W_OK | os.X_OK):
        raise RunError(
            f"The folder of run '{run.id}' cannot be written; make it writable, or copy it to where it is, to go on."
        )


def _agreement(size: int) -> Callable[[bool], bool]:
    """What turns a word of each of the run's `size` processes into rank 0's word; the others wait for it."""
    if size == 1:
        return bool
    from engine.training.processes import join_processes  # here and not above: it loads torch

    return join_processes().broadcast_flag


def _tell_failure(run: Run, error: Exception, who: str) -> None:
    """Says why the run failed. The first process to fail is right; the others only miss it."""
    with run_lock(run, f"end-{run.id}"):
        # not "started": a process may fail before the first one has said that
        events = run.events(kinds=("queued", "failed"))[0]
        last = events[-1] if events else {}
        message = str(last.get("message")) if last.get("kind") == "failed" else failure_sentence(error, who)
        if isinstance(error, OutOfMemoryFailure):
            run.append({"kind": "out_of_memory", "batch": error.batch, "accumulate": error.parts, "message": message})
        run.append({"kind": "failed", "message": message})


def work(run: Run, train: Train = _train, device_of: DeviceOf = _device_of) -> int:
    """perform() to its end, with SIGTERM turned into a stop request. Main thread only.

    Returns the exit code: 0 finished or stopped, 2 the run cannot be done as asked, 1 anything else went wrong.
    """
    stop_on(run, signal.SIGTERM)
    try:
        for _ in perform(run, train, device_of):
            pass
    except Exception as error:  # recorded already, if it could be
        print(error, file=sys.stderr)
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
    """`python -m engine.training.job <run folder>`. Returns the exit code, as work() does."""
    try:
        folder = Path(argv[0] if argv else ".").absolute()
        run = open_run(folder.parent, folder.name)
    except RunError as error:
        print(error, file=sys.stderr)
        return 2
    if os.environ.get("RANK", "0") == "0" and run.status() in ENDED:  # started by hand, not by resume()
        try:
            take_up(run)
        except RunError as error:
            print(error, file=sys.stderr)
            return 2
    return work(run, train, device_of)


def _start(run: Run, command: Sequence[str] | None, wanted: Any) -> None:
    """Start `command`, or what `wanted` processes need; what is no number is refused by the process, in its words."""
    processes = wanted if isinstance(wanted, int) and wanted > 1 else 1
    spawn(run, command or command_for(processes), processes)


def _gone_within(run: Run, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while run.alive() or run.status() not in ENDED:
        if time.monotonic() >= deadline:
            return False
        time.sleep(POLL_S)
    return True


if __name__ == "__main__":
    faulthandler.enable()  # a crash in native code leaves at least a stack in log.txt
    sys.exit(main(sys.argv[1:]))
