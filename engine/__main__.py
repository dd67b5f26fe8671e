"""The command line: python -m engine VERB, or heirloom VERB where it was installed.

Each verb is a file of engine/cli; its --help lists what it takes. Bad input ends with one line on stderr and exit code
2. Verbs import what needs torch when they run.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from engine.cli import app, attention, bench, evaluate, export, inheritance, recipe, report, runs, size, soak, train

VERBS = {
    "app": (app, "Open the app in the browser."),
    "size": (size, "Count a model exactly; find shapes for a budget."),
    "train": (train, "Train a student, in the foreground."),
    "runs": (runs, "List runs, or stop one."),
    "attention": (attention, "Where a model looks: one line a head, the strongest link of each."),
    "report": (report, "Write a run as one HTML page: its card, curves, attention and layers."),
    "inheritance": (inheritance, "How much of its teacher's attention a student has, beside nulls."),
    "evaluate": (evaluate, "Score a model on held-out text, or on a labelled task."),
    "export": (export, "Write a run's student as a folder that transformers loads."),
    "recipe": (recipe, "Do a whole experiment, with seeds and intervals; nothing is done twice."),
    "soak": (soak, "Kill runs at random moments; see that nothing is lost."),
    "bench": (bench, "Measure speed and memory on this machine."),
}


EPILOG = "Runs are kept in ./runs, or in the folder that HEIRLOOM_RUNS names, or the one that --runs gives."


class _OneLineParser(argparse.ArgumentParser):
    """Says what is wrong in one line instead of printing its whole usage."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}; see {self.prog} --help\n")


def parse(argv: Sequence[str]) -> argparse.Namespace:
    """The arguments of one command; `command` is the verb's name. Without any it shows the help.

    Exits with code 2 if they cannot be understood, with 0 after a help.
    """
    program = "heirloom" if Path(sys.argv[0]).stem == "heirloom" else "python -m engine"
    parser = _OneLineParser(prog=program, description="Explore BERT compression from a terminal.", epilog=EPILOG)
    verbs = parser.add_subparsers(dest="command", required=True, metavar="COMMAND", parser_class=_OneLineParser)
    chosen = next((word for word in argv if not word.startswith("-")), None)
    for name, (module, summary) in VERBS.items():
        verb = verbs.add_parser(name, help=summary, description=summary)
        if module is not app:
            verb.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
        if name == chosen:  # no other verb's help is asked for, and some look up long lists
            module.add_arguments(verb)
    return parser.parse_args(argv or ["--help"])


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command. Returns the exit code: 0 well, 2 bad input, 1 anything else."""
    arguments = parse(sys.argv[1:] if argv is None else argv)
    module, _ = VERBS[arguments.command]
    try:
        return module.run(arguments) or 0
    except ValueError as error:  # every error of ours that a person can mend is one
        print(f"engine {arguments.command}: {' '.join(str(error).split())}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output went away
        sys.stdout = open(os.devnull, "w")  # noqa: SIM115 - must outlive this function
        return 0


if __name__ == "__main__":
    sys.exit(main())
