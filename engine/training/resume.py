"""A run that goes on: whether it is still the one that was begun, and everything taken back to where it was."""

from __future__ import annotations

import dataclasses
from typing import Any

from torch import nn

from engine.methods.base import Method
from engine.methods.kinds.shape_changing import ShapeChanging
from engine.methods.kinds.stateful import restored
from engine.methods.registry import find
from engine.model.saved_models import CheckpointError
from engine.settings.options import ConfigError, parse_options
from engine.settings.run_config import RunConfig
from engine.training.checkpoints import restore_parameters, restore_random_state
from engine.training.session import Session, is_rate

# What makes the student what it becomes; all else (the device, how often it is scored) may be another when it goes on.
SAME = (
    "teacher", "method", "student", "corpus", "budget", "batch", "length", "seed", "masking", "mask_share", "warmup",
    "clip",
)  # fmt: skip


def refuse_another_run(saved: dict[str, Any], config: RunConfig, method: Method) -> None:
    """Refuses to go on from the checkpoint `saved` with a `config` that says something else than the run began with.

    More steps are fine, and so are other learning rates. Checkpoints of before November 2026 tell their step only.

    Raises:
        ConfigError: it was changed; says what, from what to what.
    """
    changes = _changes(saved["config"], config, method) if isinstance(saved["config"], dict) else []
    if saved["step"] > config.steps and not config.budget:
        changes.append(f"steps are {config.steps:,} now and {saved['step']:,} are done")
    if changes:
        raise ConfigError(
            [
                f"The run's config.json was changed since its checkpoint of step {saved['step']:,} was written: "
                f"{'; '.join(changes)}. Put that back to resume, or start a new run."
            ]
        )


def restored_student(method: Method, student: nn.Module, saved: dict[str, Any]) -> nn.Module:
    """From a student as `init_student` makes it, the one that the checkpoint `saved` was made of, on the CPU.

    Raises:
        CheckpointError: it is of another kind of student, or of another size.
    """
    student = restored(method, student, saved["extra"]["method"])
    sizes = {name: parameter.shape for name, parameter in student.named_parameters()}
    restore_parameters(student, saved["student"])
    shrinks = isinstance(method, ShapeChanging) and "groups" in saved["extra"]["method"]
    for name, parameter in student.named_parameters():
        if not shrinks and parameter.shape != sizes[name]:
            raise CheckpointError(
                f"The checkpoint is of a student of another size: {name} has {tuple(parameter.shape)} there and "
                f"{tuple(sizes[name])} by the run's config.json; put that back to resume, or start a new run."
            )
    return student


def restore(session: Session, saved: dict[str, Any]) -> None:
    """Takes everything but the student, which is there already, to where the checkpoint `saved` was written."""
    extra, optimizer = saved["extra"], session.learner.optimizer
    if session.countdown is not None and "countdown" in extra:
        session.rate.restore(extra["rate"])
        session.countdown.restore(extra["countdown"])
        session.config = dataclasses.replace(session.config, steps=session.rate.steps)
    asked = [group["lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict(saved["optimizer"])
    if _rates_changed(saved["config"], session.method):
        for group, rate in zip(optimizer.param_groups, asked, strict=True):
            group["peak_lr"] = rate
    restore_random_state(saved["random"])
    session.meter.restore(extra)
    session.done = saved["step"]


def _changes(before: dict[str, Any], config: RunConfig, method: Method) -> list[str]:
    """What `config` says otherwise than the one `before`, in words."""
    now = config.to_json()
    found = [
        f"{name} was {_shown(before[name])} and is {_shown(now[name])}"
        for name in SAME
        if name in before and _plain(before[name]) != _plain(now[name])
    ]
    if before.get("method") == now["method"]:
        options = _options(before, method)
        found += [
            f"option {name} was {_shown(options[name])} and is {_shown(value)}"
            for name, value in dataclasses.asdict(method.options).items()
            if name in options and options[name] != value and not is_rate(name)
        ]
    return found


def _rates_changed(before: Any, method: Method) -> bool:
    """Whether a learning rate is another than in the config `before`."""
    if not isinstance(before, dict):
        return False
    options = _options(before, method)
    now = dataclasses.asdict(method.options)
    return any(is_rate(name) and name in options and options[name] != value for name, value in now.items())


def _options(before: dict[str, Any], method: Method) -> dict[str, Any]:
    """The method's options as the config `before` sets them; none where they cannot be understood any more."""
    try:
        return dataclasses.asdict(parse_options(find(method.about.name).Options, before["options"]))
    except (ConfigError, KeyError, TypeError):
        return {}


def _plain(value: Any) -> Any:
    """`value` without what is left open in it."""
    return {name: it for name, it in value.items() if it is not None} if isinstance(value, dict) else value


def _shown(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {it}" for name, it in sorted(value.items()) if it is not None) or "the teacher's"
    return str(value) if str(value) else "none"
