"""A run that is done once: found again when it was finished before, resumed when it was begun, started otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from engine.settings.options import ConfigError
from engine.settings.run_config import RunConfig
from engine.storage import runs
from engine.storage.run_records import is_number
from engine.storage.runs import Run, RunError
from engine.training import job

Announce = Callable[[str], None]


def find_or_run(config: RunConfig, root: Path, who: str, announce: Announce) -> Run:
    """The finished run of `config` in `root`; `who` it is for is told to `announce` with what happens.

    Raises:
        ValueError: it cannot be run as asked, or ended without a student.
    """
    wanted = config.to_json()
    same = [run for run in runs.list_runs(root) if _config(run) == wanted]
    for run in same:
        if run.status() == "finished" and _has_card(run):
            announce(f"{who}: {run.id} has done this before")
            return run
    unfinished = next((run for run in same if job.can_resume(run) and not job.at_work(run)), None)
    if unfinished:
        run = job.take_up(unfinished)
        announce(f"{who}: {run.id} goes on, {config.steps:,} steps in all")
    else:
        run = runs.create_run(root, wanted, f"{config.method}-recipe")
        announce(f"{who}: {run.id}, {config.steps:,} steps")
    last: dict[str, Any] = {}
    for last in job.perform(run):
        if last["kind"] == "evaluation":
            announce(f"{who}: step {last['step']:,}, accuracy {last['accuracy']:.1%}")
    if last.get("kind") != "finished":
        raise ConfigError(
            [f"The run {run.id} ended without a finished student: {last.get('message', 'it was stopped')}."]
        )
    return run


def _config(run: Run) -> dict[str, Any]:
    """The run's config, with what settings there were not yet when it was made at their defaults.

    Nothing when it cannot be read, which is some other run's misfortune.
    """
    try:
        return RunConfig.from_json(run.config()).to_json()
    except (RunError, ConfigError, TypeError):
        return {}


def _has_card(run: Run) -> bool:
    """Whether it says what came out; a damaged card says nothing, and the run is done again."""
    try:
        return run.card() is not None
    except RunError:
        return False


def step_seconds(run: Run) -> float | None:
    """Seconds that the run's steps took, without loading, scoring and saving; None when its events do not tell.

    Raises:
        RunError: they cannot be read.
    """
    seconds, before = 0.0, 0
    latest = {
        event["step"]: float(event["step_seconds"])
        for event in run.events(kinds=("step",))[0]
        if is_number(event.get("step_seconds")) and type(event.get("step")) is int
    }
    for step in sorted(latest):  # a resumed run does some steps again; the last time counts
        seconds += latest[step] * (step - before)
        before = step
    return seconds if latest else None
