"""How the processes of a run are started and signalled. Knows commands, sessions and groups; nothing of training."""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import psutil

from engine.settings.project import CODE, WORKPLACE
from engine.storage.allowed_folders import allowed_roots
from engine.storage.runs import Run, RunError

WORKER = ("-m", "engine.training.job")
KILL = getattr(signal, "SIGKILL", signal.SIGTERM)
PORT = 29400  # where the machines of a cluster find each other; torchrun's own choice


def command_for(processes: int) -> list[str]:
    """What works on the run whose folder is named after it: one process, or torchrun with `processes` of them."""
    if processes == 1:
        return [sys.executable, *WORKER]
    # all of them are here, and not every machine can look up its own name
    torchrun = ["torch.distributed.run", "--standalone", "--local-addr=127.0.0.1", f"--nproc-per-node={processes}"]
    return [sys.executable, "-m", *torchrun, *WORKER]


def cluster_command(folder: Path, nodes: int, processes: int, first: str) -> str:
    """What to type on each of `nodes` machines that see the run's `folder`, for `processes` processes on each.

    `first`: the name or address by which they reach one of them. For a POSIX shell.
    """
    torchrun = ["python", "-m", "torch.distributed.run", f"--nnodes={nodes}", f"--nproc-per-node={processes}"]
    torchrun += ["--rdzv-backend=c10d", f"--rdzv-endpoint={first}:{PORT}", f"--rdzv-id={folder.name}"]
    return f"cd {shlex.quote(str(WORKPLACE))} && {shlex.join([*torchrun, *WORKER, str(folder)])}"


def spawn(run: Run, command: Sequence[str], processes: int) -> None:
    """Start `command` plus the run's folder, apart from this process's session, and record it. Raises RunError."""
    python_path = os.pathsep.join(filter(None, [str(CODE), os.environ.get("PYTHONPATH")]))
    environment = {**os.environ, "PYTHONPATH": python_path, "PYTHONUNBUFFERED": "1"}
    environment["HEIRLOOM_ROOTS"] = os.pathsep.join(
        map(str, allowed_roots())
    )  # one of them is this process's own folder
    if processes > 1:  # else torchrun gives one thread to each
        environment.setdefault("OMP_NUM_THREADS", str(max(1, (os.cpu_count() or 1) // processes)))
    apart: dict[str, Any] = {"cwd": WORKPLACE, "env": environment, "start_new_session": True}
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


def send(run: Run, number: int) -> None:
    """Signal the run's process, and its whole group if it leads one; SIGKILL takes all that it started.

    Raises PermissionError if the process belongs to another user.
    """
    record = run.process()
    if record is None or not run.alive():
        return
    with suppress(ProcessLookupError, psutil.NoSuchProcess):
        process = psutil.Process(record[0])
        below = process.children(recursive=True) if number == KILL else []
        if os.name == "posix" and os.getpgid(process.pid) == process.pid:
            os.killpg(process.pid, number)
        else:  # a run in the foreground shares its group with the shell or script around it
            process.send_signal(number)
        for child in below:  # torchrun gives each process a group of its own
            with suppress(psutil.NoSuchProcess):
                child.kill()
