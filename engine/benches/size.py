"""How fast the calculator is: python -m engine bench size.

Answers are timed in this process, the whole command in processes of its own. What the size page takes beside them is
measured by the page's bench, which stands in the app.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

from engine.benches.cases import check_repeats
from engine.benches.timing import conditions, load_average, median_and_worst, time_repeats, times_table
from engine.settings.project import CODE
from engine.sizing.comparison import Comparison, Configuration, editable_fields
from engine.sizing.comparison_link import from_link, to_link
from engine.sizing.cost import parameters, parameters_by_part
from engine.sizing.footprint import TrainingBatch, executed_by_part, flops, training_memory
from engine.sizing.roofline import ACCELERATORS
from engine.sizing.shape import Shape
from engine.sizing.solver import SizeBudget, find_shapes, widest_by_depth
from engine.sizing.sweep import SWEEPABLE, sweep
from engine.sizing.tensors import tensor_kinds

WANTED = {  # seconds: what each answer may take
    "four models counted": 0.1,
    "backwards, 55M": 0.5,
    "backwards, everything free": 0.5,
    "backwards, latency": 0.5,
    "every what-if curve": 0.5,
    "link, there and back": 0.1,
    "whole command": 0.4,
}
FOUR = Comparison(tuple(map(Configuration.of, ("bert-base", "wid55-516", "albert-base", "tinybert-4"))))


def bench_size(repeats: int = 7) -> dict[str, Any]:
    """Median and worst seconds of every answer in WANTED; a plain dict, JSON-ready.

    Raises:
        ConfigError: too many or too few repeats.
    """
    check_repeats(repeats)
    seconds = {name: time_repeats(action, repeats) for name, action in _answers().items()}
    return {
        "answers": {name: median_and_worst(taken) | {"wanted": WANTED[name]} for name, taken in seconds.items()},
        "repeats": repeats,
        "python": sys.version.split()[0],
        "load": load_average(),
    }


def as_text(found: dict[str, Any]) -> str:
    """What `bench_size` found, for people."""
    table = times_table(found["answers"], "ms", 30)
    return "\n".join([*table, conditions(found["repeats"], found["load"], found["python"])])


def _answers() -> dict[str, Callable[[], object]]:
    """What is timed, by its name in WANTED."""
    base, batch = Shape(), TrainingBatch()

    def four() -> None:
        for configuration in FOUR.configurations:
            shape = configuration.shape
            parameters(shape), parameters_by_part(shape), tensor_kinds(shape), executed_by_part(shape)
            flops(shape, 128), training_memory(shape, batch)

    def question(budget: SizeBudget, *keep: str) -> Callable[[], object]:
        return lambda: (find_shapes(base, budget, keep), widest_by_depth(base, budget, keep))

    latency = SizeBudget("latency", 1e-4, "bfloat16", 128, ACCELERATORS["h100"])
    usual = ("layers", "ffn", "embedding", "vocab")
    return {
        "four models counted": four,
        "backwards, 55M": question(SizeBudget("parameters", 55e6), *usual),
        "backwards, everything free": question(SizeBudget("parameters", 11e6)),
        "backwards, latency": question(latency, "ffn", "embedding", "vocab"),
        "every what-if curve": lambda: [sweep(editable_fields(base), name) for name in SWEEPABLE],
        "link, there and back": lambda: from_link(
            {k: [v] if isinstance(v, str) else v for k, v in to_link(FOUR).items()}
        ),
        "whole command": _whole_command,
    }


def _whole_command() -> None:
    command = [sys.executable, "-m", "engine", "size", "--preset", "bert-base"]
    subprocess.run(command, cwd=CODE, capture_output=True, check=True)
