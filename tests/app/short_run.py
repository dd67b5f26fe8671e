"""A finished run of a few steps of the shipped microworld teacher."""

from pathlib import Path
from typing import Any

from engine import runs
from engine.config import RunConfig
from engine.runs import Run
from engine.train import train


def make(root: Path, method: str, **changes: Any) -> Run:
    """A run of `method` under `root`; `changes`: to its config."""
    settings = {"student": {"hidden": 64}, "steps": 20, "batch": 4, "length": 16, "evaluations": 2, "device": "cpu"}
    config = RunConfig(**{"teacher": "microworld", "method": method, **settings, **changes})
    run = runs.create(root, config.to_json(), method)
    for event in train(config, run):
        run.append(event)
    return run
