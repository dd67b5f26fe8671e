"""The verb export: writes a run's student as a folder that transformers loads, or what an adaptation learned."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from engine.cli.arguments import add_runs_folder
from engine.storage.runs import Run, open_run


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    add_runs_folder(parser)
    parser.add_argument("run", help="a run's id, or its folder")
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--adapter", action="store_true", help="only what an adaptation learned, small enough to ship")
    parser.add_argument("--corpus", default="", help="what an adapter is scored on, if not on what it learned from")
    parser.add_argument("--length", type=int, default=0, help="tokens in a row of that, if not as it learned")


def run(arguments: argparse.Namespace) -> None:
    """Writes the folder and prints where it is, or the card of the adapter in it.

    Raises:
        ValueError: there is no such run, it has no student, or the folder is there already.
    """
    finished = _open(arguments.run, arguments.runs)
    if arguments.adapter:
        from engine.teachers.adapter_export import export_adapter

        card = export_adapter(finished, arguments.folder, arguments.corpus, arguments.length)
        print(json.dumps(card, indent=None if arguments.json else 1))
        return
    from engine.model.saved_models import DEQUANTISED, export_model, load_lineage, load_model

    student = load_model(finished.student_dir)
    export_model(student, arguments.folder, load_lineage(finished.student_dir))
    note = DEQUANTISED if 8 in (student.bert.shape.linear_bits, student.bert.shape.table_bits) else ""
    if arguments.json:
        print(json.dumps({"folder": str(arguments.folder), **({"note": note} if note else {})}))
    else:
        print(f"exported to {arguments.folder}", note, sep="\n" if note else "")


def _open(id_or_folder: str, runs_folder: Path) -> Run:
    """The run of this folder, or of this id in `runs_folder`."""
    folder = Path(id_or_folder)
    return open_run(folder.absolute().parent, folder.name) if folder.is_dir() else open_run(runs_folder, id_or_folder)
