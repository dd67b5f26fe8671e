"""The verb report: writes a run as one HTML page. The verb attention writes its page through here, too."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from engine.cli.arguments import add_runs_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    add_runs_folder(parser)
    parser.add_argument("run", help="a run's id")
    parser.add_argument("--text", default="", help="the sentence to look at (default: the teacher's example)")
    parser.add_argument("--html", type=Path, metavar="FILE", help="the file to write (default: RUN.html)")


def run(arguments: argparse.Namespace) -> None:
    """Writes the page and prints where it is.

    Raises:
        ValueError: there is no such run, it has no student yet, or the file cannot be written.
    """
    from engine.reports.run_report import run_report
    from engine.storage.runs import open_run

    shown = open_run(arguments.runs, arguments.run)
    path = arguments.html or Path(f"{shown.id}.html")
    write_page(path, run_report(shown, arguments.runs, arguments.text), arguments.json)


def write_page(path: Path, page: str, as_json: bool) -> None:
    """Writes an HTML page to `path` and prints where it is, as JSON or in words.

    Raises:
        ValueError: the file cannot be written.
    """
    from engine.reports.html_page import write_page

    write_page(path, page)
    print(json.dumps({"html": str(path)}) if as_json else f"written to {path}")
