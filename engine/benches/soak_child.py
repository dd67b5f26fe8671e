"""A run in a forked process that tells in which phase it is and, if ordered, is killed inside one of them."""

from __future__ import annotations

import functools
import json
import mmap
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from scipy.optimize import linear_sum_assignment

from engine.compactors.heir import Heir
from engine.methods.wid import Wid
from engine.storage.runs import Run
from engine.teachers.catalog import load_teacher
from engine.text import corpora
from engine.training import finish, job, loop, session, setup
from engine.training.step import Learner

PHASES = ("data", "training", "cut", "shrink", "checkpoint", "fold", "scoring", "export")
NO_PHASE = "between"
HELD_OUT_ROWS = 64  # instead of 512: the soak is about what is written, not about scores
SHORT_S = 0.01
WIDTH = 32  # bytes of a phase's name, in the memory that parent and child share


@dataclass(frozen=True)
class Order:
    """Where a process is killed: in its `number`th `phase` (from 1)."""

    phase: str
    number: int
    moment: float  # 0 at the phase's beginning, 1 at its end
    seconds: float  # that it takes


@dataclass
class Phases:
    """Which phase a process is in; what each took so far."""

    shared: mmap.mmap  # the phase of the kill is written here, for the parent
    order: Order | None
    seconds: dict[str, list[float]] = field(default_factory=dict)
    inside: list[str] = field(default_factory=list)

    def marked(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """`function` as the phase `name`."""

        @functools.wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            self.inside.append(name)
            taken = self.seconds.setdefault(name, [])
            taken.append(0.0)
            order = self.order if self.order and (self.order.phase, self.order.number) == (name, len(taken)) else None
            short = order is not None and order.seconds < SHORT_S  # over before a thread runs: at one of its ends
            if order and short and order.moment < 0.5:
                self._kill(0.0)
            elif order and not short:
                threading.Thread(target=self._kill, args=(order.moment * order.seconds,), daemon=True).start()
            began, place = time.perf_counter(), len(taken) - 1
            try:
                result = function(*args, **kwargs)
                if short:
                    self._kill(0.0)
                return result
            finally:
                taken[place] = time.perf_counter() - began
                self.inside.pop()

        return call

    def _kill(self, delay: float) -> None:
        time.sleep(delay)
        inside = (self.inside[-1:] or [NO_PHASE])[0]
        self.shared[:WIDTH] = inside.encode().ljust(WIDTH, b"\0")
        os.kill(os.getpid(), signal.SIGKILL)


def preload() -> None:
    """Loads, before the first fork, what every process would load for itself; with one thread, for forks copy one."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    torch.set_num_threads(1)
    load_teacher("microworld")
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))])  # which loads a compiler
    linear_sum_assignment([[0.0]])


def phase_of_kill(shared: mmap.mmap) -> str:
    """The phase in which the last process with this memory was killed; empty if it was not. Forgets it."""
    name = bytes(shared[:WIDTH]).rstrip(b"\0").decode()
    shared[:WIDTH] = bytes(WIDTH)
    return name


def work_in_child(run: Run, shared: mmap.mmap, order: Order | None, cache: Path, told: Path) -> int:
    """Works on `run` in a process forked from this one, to its end or until it is killed; its exit status.

    `cache`: the folder of what can be made again. `told`: a file for the seconds of every phase, as JSON.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child:
        return os.waitpid(child, 0)[1]
    code = 1
    try:
        _leave_parent(run, cache)
        phases = Phases(shared, order)
        _mark(phases)
        code = job.work(run)
        told.write_text(json.dumps(phases.seconds))
    finally:
        os._exit(code)


def _leave_parent(run: Run, cache: Path) -> None:
    os.setsid()
    log = os.open(run.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    for number in (1, 2):
        os.dup2(log, number)
    os.environ["HEIRLOOM_CACHE"] = str(cache)
    torch.set_num_threads(1)
    corpora.HELD_OUT_ROWS = HELD_OUT_ROWS


def _mark(phases: Phases) -> None:
    """Puts the phases around what this process will call; nobody else sees it."""
    places: list[tuple[str, Any, str]] = [
        ("data", setup, "_open_data"),
        ("training", Learner, "step"),
        ("cut", Wid, "_cut"),
        ("shrink", Heir, "shrink"),
        ("checkpoint", session, "save_checkpoint"),
        ("fold", Heir, "fold"),
        ("scoring", session.Session, "score"),
        ("export", finish, "save_model"),
    ]
    for name, owner, attribute in places:
        setattr(owner, attribute, phases.marked(name, getattr(owner, attribute)))
    assert loop.set_up is setup.set_up  # the functions that call them are those that were marked
