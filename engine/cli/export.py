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
    parser.add_argument("run", help="a run's id, or its folder; with --peft also minilm, or a folder with an adapter")
    parser.add_argument("folder", type=Path, help="a new folder")
    parser.add_argument("--onnx", action="store_true", help="write it as model.onnx, too (needs the package onnx)")
    parser.add_argument("--adapter", action="store_true", help="only what an adaptation learned, small enough to ship")
    parser.add_argument("--peft", action="store_true", help="an adapter in the layout of the library PEFT, in float32")
    parser.add_argument("--corpus", default="", help="what an adapter is scored on, if not on what it learned from")
    parser.add_argument("--push-to-hub", default="", metavar="OWNER/NAME", help="put it on the Hub, too, as this model")
    parser.add_argument("--private", action="store_true", help="a model that is made on the Hub is for its owner only")
    parser.add_argument("--length", type=int, default=0, help="tokens in a row of that, if not as it learned")


def run(arguments: argparse.Namespace) -> None:
    """Writes the folder and prints where it is, or the card of the adapter in it.

    Raises:
        ValueError: there is no such run, it has no student, the folder is there already, or the Hub refuses.
    """
    adapter = arguments.adapter or arguments.peft
    if adapter and arguments.push_to_hub:
        raise ValueError("Only a whole student can be put on the Hub; leave --push-to-hub or --adapter or --peft out.")
    if adapter and arguments.onnx:
        raise ValueError("Only a whole student can be written as ONNX; leave --onnx or --adapter or --peft out.")
    if arguments.private and not arguments.push_to_hub:
        raise ValueError("--private is about a model on the Hub; name it with --push-to-hub OWNER/NAME.")
    if adapter:
        from engine.teachers.adapter_export import adapter_folder, convert_adapter, export_adapter

        if arguments.peft and (place := adapter_folder(arguments.run)):
            card = convert_adapter(place, arguments.folder, arguments.runs)
        else:
            finished = _open(arguments.run, arguments.runs)
            card = export_adapter(finished, arguments.folder, arguments.corpus, arguments.length, arguments.peft)
        print(json.dumps(card, indent=None if arguments.json else 1))
        return
    from engine.teachers.student_export import export_student

    finished = _open(arguments.run, arguments.runs)
    exported = export_student(finished, arguments.folder, arguments.push_to_hub, arguments.private, arguments.onnx)
    if arguments.json:
        said = {"note": " ".join(exported.notes), "onnx": exported.onnx, "pushed_to": arguments.push_to_hub}
        print(json.dumps({"folder": str(arguments.folder)} | {name: text for name, text in said.items() if text}))
        return
    print(f"exported to {arguments.folder}", *exported.notes, *filter(None, [exported.onnx]), sep="\n")
    if arguments.push_to_hub:
        print(f"on the Hub as {arguments.push_to_hub}")


def _open(id_or_folder: str, runs_folder: Path) -> Run:
    """The run of this folder, or of this id in `runs_folder`."""
    folder = Path(id_or_folder)
    return open_run(folder.absolute().parent, folder.name) if folder.is_dir() else open_run(runs_folder, id_or_folder)
