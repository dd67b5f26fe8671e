"""A soak: training processes killed (kill -9) at random moments in every phase, resumed, and their students compared.

Each kind of run is made once undisturbed. Then runs of the same config are killed, several times each, at moments drawn
by the seed: in which phase, in which of its occurrences and how far into it. What comes out has to be the same student,
bit for bit.
"""

from __future__ import annotations

import mmap
import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.settings.options import ConfigError
from engine.settings.run_config import RunConfig
from engine.storage.checksums import file_checksum
from engine.storage.json_file import read_json_object
from engine.storage.runs import Run, create_run
from engine.training import job

MOST_KILLS = 100_000
A_RUN = 6  # kills of one run at most
SMALL: dict[str, Any] = {
    "teacher": "microworld", "batch": 4, "length": 16, "device": "cpu", "evaluations": 1, "precision": "float32",
}  # fmt: skip
TINY = {"layers": 1, "hidden": 32, "heads": 4}
KINDS = {
    "WID with cuts": RunConfig(
        **SMALL, method="wid", student=TINY, steps=40, checkpoints=10, options={"cuts": 3, "closed_by": 0.6}
    ),
    "from scratch": RunConfig(**SMALL, method="scratch", student=TINY, steps=40, checkpoints=10),
    "one-shot": RunConfig(**SMALL, method="head_pruning", steps=8, checkpoints=4),
    "distillation": RunConfig(**SMALL, method="minilm", student=TINY, steps=20, checkpoints=5),
}
Say = Callable[[str, int], None]  # is told which kind of run it is, and how many kills are done


@dataclass
class Undisturbed:
    """What a kind of run makes when nothing befalls it, and how long its phases take."""

    student: dict[str, str]  # file -> checksum
    losses: dict[int, float]  # step -> loss
    seconds: dict[str, list[float]]  # phase -> of each occurrence


@dataclass
class Tally:
    """What became of the kills."""

    kills: Counter[str] = field(default_factory=Counter)  # by phase
    resumed: Counter[str] = field(default_factory=Counter)  # their run was finished in the end
    equal: Counter[str] = field(default_factory=Counter)  # and its student is the undisturbed run's
    kinds: Counter[str] = field(default_factory=Counter)  # kills by kind of run
    runs: int = 0
    differences: list[str] = field(default_factory=list)  # sentences


def soak(kills: int, seed: int, say: Say) -> dict[str, Any]:
    """Kills so many processes in a temporary folder; what became of them, JSON-ready.

    Raises:
        ConfigError: the number is out of range, or this system cannot fork.
    """
    if not 1 <= kills <= MOST_KILLS:
        raise ConfigError([f"kills must be between 1 and {MOST_KILLS:,}, got {kills:,}."])
    if not hasattr(os, "fork"):
        raise ConfigError(["A soak forks processes, which this system cannot; run it on Linux or macOS."])
    from engine.benches.soak_child import preload

    preload()
    began, chance, tally = time.perf_counter(), random.Random(seed), Tally()
    with tempfile.TemporaryDirectory(prefix="heirloom-soak-") as folder, mmap.mmap(-1, mmap.PAGESIZE) as shared:
        ground = Ground(Path(folder), shared)
        wanted = [kind for kind, _ in zip(_in_turn(), range(kills), strict=False)]
        undisturbed: dict[str, Undisturbed] = {}
        for kind in dict.fromkeys(wanted):
            undisturbed[kind] = ground.undisturbed(KINDS[kind])
            left = wanted.count(kind)
            while left:
                say(kind, sum(tally.kills.values()))
                left -= _disturb(ground, kind, undisturbed[kind], left, chance, tally)
    return _found(tally, kills, seed, time.perf_counter() - began)


def _in_turn() -> Iterator[str]:
    while True:
        yield from KINDS


def _found(tally: Tally, kills: int, seed: int, seconds: float) -> dict[str, Any]:
    names = ("kills", "resumed", "equal")
    counters = [tally.kills, tally.resumed, tally.equal]
    return {
        "asked": kills,
        "seed": seed,
        "phases": [
            {"phase": phase, **{name: counter[phase] for name, counter in zip(names, counters, strict=True)}}
            for phase in _phases_in_order(tally.kills)
        ],
        "all": {name: sum(counter.values()) for name, counter in zip(names, counters, strict=True)},
        "kinds": dict(tally.kinds),
        "runs": tally.runs,
        "seconds": round(seconds, 1),
        "differences": tally.differences,
    }


def _phases_in_order(kills: Counter[str]) -> list[str]:
    from engine.benches.soak_child import NO_PHASE, PHASES

    return [phase for phase in (*PHASES, NO_PHASE) if kills[phase]]


def _disturb(
    ground: Ground, kind: str, undisturbed: Undisturbed, most: int, chance: random.Random, tally: Tally
) -> int:
    """Makes one run of `kind` that is killed up to `most` times; how often it was."""
    from engine.benches.soak_child import Order

    run, killed = ground.new_run(KINDS[kind]), list[str]()
    aim = chance.randint(1, min(most, A_RUN))
    while True:
        order = None
        if len(killed) < aim:
            phase = chance.choice([name for name in undisturbed.seconds if undisturbed.seconds[name]])
            taken = undisturbed.seconds[phase]
            number = chance.randint(1, len(taken) if not killed else max(1, len(taken) // 3))
            order = Order(phase, number, chance.random(), taken[number - 1])
        phase = ground.work(run, order)
        if not phase:
            break
        killed.append(phase)
    finished, different = run.status() == "finished", ""
    if not finished:
        different = f"it is {run.status()}: {run.error()}"
    elif ground.student(run) != undisturbed.student:
        different = "another student"
    elif _losses(run) != undisturbed.losses:
        different = "other losses"
    elif rubbish := [path.name for path in run.path.rglob("*.draft")]:
        different = f"it left {rubbish[0]}"
    if different:
        tally.differences.append(f"{kind}, killed in {', '.join(killed)}: {different}.")
    tally.runs += 1
    tally.kinds[kind] += len(killed)
    for phase in killed:
        tally.kills[phase] += 1
        tally.resumed[phase] += finished
        tally.equal[phase] += not different
    return len(killed)


def _losses(run: Run) -> dict[int, float]:
    """Step -> loss, as it was told last."""
    return {event["step"]: event["loss"] for event in run.events()[0] if event["kind"] == "step"}


@dataclass
class Ground:
    """A temporary folder with the soak's runs, and the memory that it shares with their processes."""

    folder: Path
    shared: mmap.mmap

    def new_run(self, config: RunConfig) -> Run:
        """A run of `config` on which nobody has worked, with a cache of its own."""
        run = create_run(self.folder / "runs", config.to_json(), config.method)
        run.append({"kind": "queued"})
        return run

    def undisturbed(self, config: RunConfig) -> Undisturbed:
        """What a run of `config` makes.

        Raises:
            ConfigError: it does not get to its end.
        """
        run = self.new_run(config)
        self.work(run, None)
        if run.status() != "finished":
            raise ConfigError([f"The undisturbed run of {config.method} is {run.status()}: {run.error()}"])
        return Undisturbed(self.student(run), _losses(run), read_json_object(self._told(run)))

    def work(self, run: Run, order: Any) -> str:
        """Works on `run`, resumed if need be, until it ends or is killed; the phase of the kill, or nothing."""
        from engine.benches.soak_child import phase_of_kill, work_in_child

        if run.status() == "died":
            job.queue(run)
        run.process_path.unlink(missing_ok=True)
        work_in_child(run, self.shared, order, self.folder / "caches" / run.id, self._told(run))
        return phase_of_kill(self.shared)

    def student(self, run: Run) -> dict[str, str]:
        """The checksums of the tensors of a run's student."""
        return {path.name: file_checksum(path) for path in sorted(run.student_dir.glob("*.safetensors"))}

    def _told(self, run: Run) -> Path:
        return self.folder / f"{run.id}.json"
