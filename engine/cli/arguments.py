"""Command-line arguments that several verbs have in common."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

RUNS_FOLDER = Path(os.environ.get("HEIRLOOM_RUNS", "runs"))


def add_runs_folder(parser: argparse.ArgumentParser) -> None:
    """Adds --runs, the folder in which run folders lie."""
    parser.add_argument(
        "--runs",
        type=Path,
        default=RUNS_FOLDER,
        metavar="DIR",
        help="folder of run folders (default: $HEIRLOOM_RUNS, or runs)",
    )


def add_flags(
    parser: argparse.ArgumentParser | argparse._ArgumentGroup,
    value_type: Callable[[str], Any],
    help_by_name: Mapping[str, str],
) -> None:
    """Adds an optional flag of one type for every name; a name is what the parsed arguments call it.

    `head_dim` becomes the flag --head-dim. A flag that is not given is None.
    """
    for name, help in help_by_name.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=value_type, help=help)


def given_values(arguments: argparse.Namespace, names: Iterable[str]) -> dict[str, Any]:
    """{name: value} of those among `names` that the command line gives."""
    return {name: getattr(arguments, name) for name in names if getattr(arguments, name) is not None}
