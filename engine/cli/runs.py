"""The verb runs: lists the runs of a folder with what came out of each, or stops one that is at work."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from engine.cli.arguments import add_runs_folder
from engine.storage.runs import Run, RunError, list_runs, open_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of the verb."""
    add_runs_folder(parser)
    parser.add_argument("--stop", metavar="RUN", help="save and stop this run, by force if it does not listen")


def run(arguments: argparse.Namespace) -> None:
    """Prints the list, or how the stopped run ended.

    Raises:
        ValueError: there is no such run to stop.
    """
    if arguments.stop:
        _stop(arguments.runs, arguments.stop, arguments.json)
        return
    found = list_runs(arguments.runs)
    if arguments.json:
        print(json.dumps([_record(one) for one in found]))
        return
    for one in found:
        record = _record(one)
        card, words = record["card"], record.get("problem", "")
        if card:
            words = f"{card['scores']['retained']:6.1%} retained, {card['parameters']:,} parameters"
        print(f"{one.id}  {record['status']:10}  {words}".rstrip())
    if not found:
        print(f"No runs in {arguments.runs} yet; start one with: python -m engine train", file=sys.stderr)


def _record(one: Run) -> dict[str, Any]:
    """What is said of a run; one that cannot be read has a problem, and harms no other."""
    record: dict[str, Any] = {"id": one.id, "status": one.status(), "card": None}
    problem = one.problem()
    if not problem:
        try:
            record["card"] = one.card()
        except RunError as error:
            problem = str(error)
    return {**record, "problem": problem} if problem else record


def _stop(runs_folder: Path, run_id: str, as_json: bool) -> None:
    from engine.training import job

    stopped = open_run(runs_folder, run_id)
    status = job.stop(stopped)
    print(json.dumps({"id": stopped.id, "status": status}) if as_json else f"{stopped.id}  {status}")
