"""RunConfig: everything a run needs to know, JSON both ways, validated. Knows no torch and no method's options."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.settings.budget import parse_budget
from engine.settings.options import ConfigError, option, short_repr, validation_errors

PRECISIONS = ("auto", "float32", "bfloat16")  # of matrix products in training


@dataclass(frozen=True)
class RunConfig:
    """One run: who teaches, what the student looks like, how and how long it learns.

    Raises:
        ConfigError: a setting is out of range; all reasons are listed at once.
    """

    teacher: str = option("microworld", "The model to inherit from, by its name in the teacher registry.")
    method: str = option("wid", "How the student learns.")
    student: dict[str, Any] = field(default_factory=dict)  # layers, hidden, heads, head_dim, ffn: what differs
    options: dict[str, Any] = field(default_factory=dict)  # the method's own options
    corpus: str = option("auto", "The text to learn from; auto: the one that the teacher knows.")
    steps: int = option(500, "Optimizer steps.", least=0, most=100_000_000)
    budget: str = option(
        "",
        "What a run may spend in tokens, FLOPs or seconds, such as 5Mtokens; its steps follow. Empty: steps as given.",
    )
    batch: int = option(64, "Sequences a step.", least=1, most=65_536)
    accumulate: int = option(1, "Micro-batches a step: more of them take less memory.", least=1, most=65_536)
    processes: int = option(1, "Processes on this machine that share every batch.", least=1, most=65_536)
    length: int = option(64, "Longest sequence, in tokens.", least=8, most=512)
    seed: int = option(0, "Fixes initial weights, data order and masks.", least=0, most=2**31 - 1)
    device: str = option("auto", "Where to compute.", choices=("auto", "cuda", "mps", "cpu"))
    precision: str = option(
        "auto",
        "Of matrix products; auto: bfloat16 on a GPU that has it. On a CPU with AMX, bfloat16 is about twice as fast.",
        choices=PRECISIONS,
    )
    masking: str = option(
        "token",
        "What is hidden together: single tokens as BERT, whole words, or up to three words in a row as ALBERT.",
        choices=("token", "word", "ngram"),
    )
    mask_share: float = option(
        0.15, "Share of the tokens that are hidden in training; held-out text hides 15%.", least=0.01, most=0.9
    )
    warmup: float = option(0.05, "Share of the steps in which the learning rate rises.", least=0.0, most=1.0)
    clip: float = option(1.0, "Largest gradient norm; larger ones are scaled down.", least=0.0, most=1e6)
    evaluations: int = option(10, "How often the held-out text is scored in a run.", least=1, most=1000)
    checkpoints: int = option(4, "How often the run's state is saved, for resuming.", least=1, most=1000)
    parent: str = option("", "The run that this one continues from, when it was resumed or chained.")

    def __post_init__(self) -> None:
        problems = validation_errors(self)
        for name in ("student", "options"):
            if not isinstance(getattr(self, name), dict):
                problems.append(f"{name} must be a set of named values, got {short_repr(getattr(self, name))}.")
        if not problems and self.budget:
            try:
                parse_budget(self.budget)
            except ValueError as error:
                problems.append(str(error))
        if not problems and self.accumulate * self.processes > self.batch:
            problems.append(
                f"accumulate times processes must be at most the batch of {self.batch:,}, for each part of it needs a "
                f"sequence, got {self.accumulate:,} x {self.processes:,}."
            )
        if problems:
            raise ConfigError(problems)

    def to_json(self) -> dict[str, Any]:
        """Every field as a plain JSON value."""
        return dataclasses.asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> RunConfig:
        """The config that `to_json` wrote.

        Raises:
            ConfigError: a field is unknown or wrong.
        """
        known = {spec.name for spec in dataclasses.fields(RunConfig)}
        unknown = sorted(set(data) - known)
        if unknown:
            some = ", ".join(str(name)[:40] for name in unknown[:10])
            raise ConfigError([f"A run has no setting {some}; it has {', '.join(sorted(known))}."])
        return RunConfig(**data)


def train_command(config: Mapping[str, Any]) -> str:
    """The command that starts a run of this config anew; what has its default value is left out."""
    usual = RunConfig().to_json()
    words = ["python", "-m", "engine", "train"]
    for name, value in config.items():
        if name == "student":
            words += [word for field, size in value.items() for word in (_flag(field), str(size))]
        elif name == "options":
            words += [word for option in value.items() for word in ("--option", "{}={}".format(*option))]
        elif name == "steps" and config.get("budget"):
            continue  # the budget says how many
        elif name != "parent" and (value != usual.get(name) or name in ("teacher", "method", "steps", "seed")):
            words += [_flag(name), str(value)]
    return shlex.join(words)


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
