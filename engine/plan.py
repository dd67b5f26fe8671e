"""A config understood: everything that can be known, and refused, before any weight is loaded."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from engine import methods, teachers
from engine.config import ConfigError, RunConfig, read_options
from engine.device import Device, pick
from engine.methods import Method
from engine.shape import Shape


@dataclass(frozen=True)
class Plan:
    """Who learns what from whom, and where."""

    method: Method
    teacher: teachers.Card
    shape: Shape  # the student's
    corpus: str
    device: Device


def plan(config: RunConfig, runs: Path | None = None) -> Plan:
    """What `config` asks for; `runs`: the folder in which the teacher run:ID looks.

    Raises:
        ValueError: (ConfigError, ShapeError, TeacherError, CorpusError) it cannot be run as asked.
    """
    kind = methods.find(config.method)
    method = kind(read_options(kind.Options, config.options), config.steps)
    card = teachers.card(config.teacher, runs)
    corpus = method.text(config.corpus, card.corpus)
    shape, device = method.student_shape(card.shape, config.student), pick(config.device, config.precision)
    here = int(os.environ.get("LOCAL_WORLD_SIZE", config.processes))  # torchrun knows better than an older config
    if device.type != "cpu" and here > device.count:
        raise ConfigError(
            [
                f"Each process needs a {device.type} device of its own and this machine has {device.count}, got {here} "
                f"processes; use at most {device.count}."
            ]
        )
    return Plan(method, card, shape, corpus, device)
