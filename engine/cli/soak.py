"""The verb soak: kills training processes at random moments and sees that nothing is lost."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of the verb."""
    parser.add_argument("--kills", type=int, default=100, help="how many processes are killed (default: 100)")
    parser.add_argument("--seed", type=int, default=0, help="fixes at which moments (default: 0)")


def run(arguments: argparse.Namespace) -> int:
    """Prints a line a phase: kills, runs that went on, students that are the same. Returns 1 if one is another.

    Raises:
        ValueError: a number is out of range, or the system cannot do it.
    """
    from tqdm import tqdm

    from engine.benches.soak import soak

    with tqdm(total=arguments.kills, unit="kill", file=sys.stderr, disable=arguments.json, dynamic_ncols=True) as bar:

        def say(words: str, kills: int) -> None:
            bar.set_description(words)
            bar.update(kills - bar.n)

        found = soak(arguments.kills, arguments.seed, say)
    print(json.dumps(found) if arguments.json else as_text(found))
    return int(bool(found["differences"]))


def as_text(found: dict[str, Any]) -> str:
    """What `soak` found, as a table."""
    lines = [f"{'phase':12}{'kills':>8}{'resumed':>9}{'equal':>8}"]
    for row in [*found["phases"], {"phase": "all", **found["all"]}]:
        lines.append(f"{row['phase']:12}{row['kills']:8,}{row['resumed']:9,}{row['equal']:8,}")
    kinds = ", ".join(f"{name} {count:,}" for name, count in found["kinds"].items())
    lines.append(f"{found['runs']:,} runs ({kinds}), seed {found['seed']}, {found['seconds']:.0f} s")
    return "\n".join([*lines, "Equal is bit for bit: weights, lineage and losses.", *found["differences"]])
