"""The verb bench: speed and memory on this machine. Benches of pages stand in the app and are run through here, too."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.benches.cases import FOR_TESTS, INT8_CASES, METHOD_CASES, WID_CASES, Case

Found = dict[str, Any]  # what a bench found, JSON-ready


def _bench_wid(case: str, repeats: int) -> tuple[Found, str]:
    from engine.benches.wid import as_text, bench_wid

    found = bench_wid(case, repeats)
    return found, as_text(found)


def _bench_methods(case: str, repeats: int) -> tuple[Found, str]:
    from engine.benches.methods import as_markdown, bench_methods

    found = bench_methods(case, repeats)
    return found, as_markdown(found)


def _bench_int8(case: str, repeats: int) -> tuple[Found, str]:
    from engine.benches.int8 import as_markdown, bench_int8

    found = bench_int8(case, repeats)
    return found, as_markdown(found)


def _bench_size(case: str, repeats: int) -> tuple[Found, str]:
    from engine.benches.size import as_text, bench_size

    found = bench_size(repeats)
    return found, as_text(found)


def _bench_examine(case: str, repeats: int) -> tuple[Found, str]:
    from engine.benches.examine import as_text, bench_examine

    found = bench_examine(repeats)
    return found, as_text(found)


def _bench_memory(case: str, repeats: int) -> tuple[Found, str]:
    from engine.benches.memory import as_markdown, bench_memory

    found = bench_memory(repeats)
    return found, as_markdown(found)


@dataclass(frozen=True)
class Bench:
    """One thing that can be measured."""

    about: str
    measure: Callable[[str, int], tuple[Found, str]]  # (name of a case, repeats) -> what was found, and as text
    repeats: int  # unless --repeats says otherwise
    repeated: str  # what is repeated
    cases: Mapping[str, Case] = field(default_factory=dict)
    page_command: str = ""  # what measures the page that shows the same


BENCHES = {
    "wid": Bench("its steps", _bench_wid, 7, "steps of each kind, interleaved", WID_CASES),
    "methods": Bench("a step of each", _bench_methods, 3, "rounds of 5 steps", METHOD_CASES),
    "int8": Bench("at which width it pays", _bench_int8, 21, "passes", INT8_CASES),
    "size": Bench("the calculator", _bench_size, 7, "answers", page_command="python -m app.size.bench"),
    "memory": Bench("what a training step holds", _bench_memory, 1, "tables"),
    "examine": Bench("the inheritance score", _bench_examine, 3, "scores", page_command="python -m app.examine.bench"),
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    about = "; ".join(f"{name}: {bench.about}" for name, bench in BENCHES.items())
    cases = "; ".join(f"{name}: {_list_cases(bench.cases)}" for name, bench in BENCHES.items() if bench.cases)
    repeats = "; ".join(f"{name}: {bench.repeated} ({bench.repeats})" for name, bench in BENCHES.items())
    parser.add_argument("what", choices=list(BENCHES), help=about)
    parser.add_argument("--case", default="cpu", help=cases)
    parser.add_argument("--repeats", type=int, help=repeats)


def run(arguments: argparse.Namespace) -> None:
    """Measures, and prints what was found.

    Raises:
        ValueError: there is no such case, or too many or too few repeats.
    """
    bench = BENCHES[arguments.what]
    found, text = bench.measure(arguments.case, bench.repeats if arguments.repeats is None else arguments.repeats)
    print(json.dumps(found) if arguments.json else text)
    if bench.page_command:
        print(f"This with the page: {bench.page_command}", file=sys.stderr)


def run_page_bench(
    module: str, about: str, measure: Callable[[int], Found], as_text: Callable[[Found], str], repeats: int
) -> None:
    """The command line of a page's bench, which is started as the program `module`; --repeats and --json as above."""
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument("--json", action="store_true", help="print one JSON object and nothing else on stdout")
    parser.add_argument("--repeats", type=int, default=repeats, help=f"how often each is measured (default: {repeats})")
    arguments = parser.parse_args()
    try:
        found = measure(arguments.repeats)
    except ValueError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    print(json.dumps(found) if arguments.json else as_text(found))


def _list_cases(cases: Mapping[str, Case]) -> str:
    """Cases in words: cpu, 6x384 to 6x192, or gpu, 12x768 to 12x192 and 12x516. Many students are not listed."""
    words = []
    for name, case in cases.items():
        if name == FOR_TESTS:
            continue
        students = " and ".join(f"{shape.layers}x{shape.hidden}" for shape in case.students)
        sizes = f", {case.teacher.layers}x{case.teacher.hidden} to {students}" if len(case.students) <= 2 else ""
        words.append(f"{name}{sizes}")
    return ", or ".join(words)
