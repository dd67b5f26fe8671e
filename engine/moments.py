"""Moments: at which of its steps a run tells, scores, draws and saves what."""

from __future__ import annotations

from dataclasses import dataclass

from engine.config import RunConfig
from engine.film import frames

LEAST_BETWEEN_EVALUATIONS = 10  # steps
PICTURES = 40  # how often a run shows what its student looks like inside


@dataclass(frozen=True)
class Moments:
    """At which of its steps a run tells, scores, draws and saves what."""

    log_every: int
    evaluations: set[int]
    filmed: set[int]
    checkpoints: set[int]
    pictures: set[int]


def moments_of(config: RunConfig) -> Moments:
    """Those of a run of `config.steps`."""
    evaluations = _spread(config.steps, config.evaluations, LEAST_BETWEEN_EVALUATIONS)
    checkpoints, pictures = (_spread(config.steps, times, 1) for times in (config.checkpoints, PICTURES))
    return Moments(min(20, max(1, config.steps // 200)), evaluations, frames(evaluations), checkpoints, pictures)


def _spread(steps: int, times: int, least: int) -> set[int]:
    """At most `times` steps, evenly over the run, at least `least` apart, the last step always among them."""
    times = max(1, min(times, steps // max(1, least)))
    return {round(steps * (index + 1) / times) for index in range(times)}
