"""RunConfig: everything a run needs to know, JSON both ways, validated. Knows no torch and no method's options."""

from __future__ import annotations

import dataclasses
import math
import shlex
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine import budget


class ConfigError(ValueError):
    """Settings that cannot be run. `problems` lists every reason, one sentence each."""

    def __init__(self, problems: list[str]) -> None:
        self.problems = problems
        super().__init__(" ".join(problems))


def option(
    default: Any,
    help: str,
    *,
    least: float | None = None,
    most: float | None = None,
    choices: tuple[str, ...] | None = None,
    label: str | None = None,
    advanced: bool = False,
) -> Any:
    """A dataclass field that explains itself: forms draw it, `check` holds values to it."""
    about = {"help": help, "least": least, "most": most, "choices": choices, "label": label, "advanced": advanced}
    return field(default=default, metadata=about)


def check(record: Any) -> list[str]:
    """What is wrong with a dataclass made of `option` fields, one sentence a problem; empty when nothing is.

    Whole numbers given for fractions are accepted; the other way round is not.
    """
    problems = []
    for spec in dataclasses.fields(record):
        value, about = getattr(record, spec.name), spec.metadata
        kind = getattr(spec.type, "__name__", str(spec.type))  # a type, or its name under deferred annotations
        if kind == "bool":
            if not isinstance(value, bool):
                problems.append(f"{spec.name} must be true or false, got {value!r}.")
        elif kind == "str":
            if not isinstance(value, str):
                problems.append(f"{spec.name} must be a word, got {value!r}.")
            elif about.get("choices") and value not in about["choices"]:
                problems.append(f"{spec.name} must be one of {', '.join(about['choices'])}, got {value!r}.")
        elif kind in ("int", "float"):
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not whole and not (kind == "float" and isinstance(value, float) and math.isfinite(value)):
                problems.append(f"{spec.name} must be a {'whole ' if kind == 'int' else ''}number, got {value!r}.")
                continue
            least, most = about.get("least"), about.get("most")
            if (least is not None and value < least) or (most is not None and value > most):
                bounds = f"at least {least:g}" if most is None else f"between {least:g} and {most:,g}"
                problems.append(f"{spec.name} must be {bounds}, got {value:,}.")
    return problems


def read_options(kind: type, values: dict[str, Any]) -> Any:
    """An instance of the options dataclass `kind` from plain values.

    Raises:
        ConfigError: a name is unknown or a value is out of range.
    """
    known = {spec.name for spec in dataclasses.fields(kind)}
    unknown = sorted(set(values) - known)
    if unknown:
        has = f"it has {', '.join(sorted(known))}" if known else "it has none"
        raise ConfigError([f"This method has no option {', '.join(map(str, unknown))}; {has}."])
    record = kind(**values)
    problems = check(record)
    if problems:
        raise ConfigError(problems)
    return record


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
        choices=("auto", "float32", "bfloat16"),
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
        problems = check(self)
        for name in ("student", "options"):
            if not isinstance(getattr(self, name), dict):
                problems.append(f"{name} must be a set of named values, got {getattr(self, name)!r}.")
        if not problems and self.budget:
            try:
                budget.read(self.budget)
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
            raise ConfigError([f"A run has no setting {', '.join(unknown)}; it has {', '.join(sorted(known))}."])
        return RunConfig(**data)


def command_line(config: Mapping[str, Any]) -> str:
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
