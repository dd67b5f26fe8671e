"""The registry: every method by its name."""

from __future__ import annotations

from engine.methods.adapt import Adapt
from engine.methods.albert import Albert
from engine.methods.base import Method
from engine.methods.distilbert import Distilbert
from engine.methods.ffn_pruning import FfnPruning
from engine.methods.head_pruning import HeadPruning
from engine.methods.int8 import Int8
from engine.methods.low_rank import LowRank
from engine.methods.magnitude import Magnitude
from engine.methods.minilm import Minilm
from engine.methods.minilmv2 import Minilmv2
from engine.methods.pkd import Pkd
from engine.methods.scratch import Scratch
from engine.methods.soft_targets import SoftTargets
from engine.methods.tinybert import Tinybert
from engine.methods.wid import Wid
from engine.settings.options import ConfigError

METHODS: dict[str, type[Method]] = {
    method.name: method
    for method in (
        Wid,
        Scratch,
        SoftTargets,
        Distilbert,
        Tinybert,
        Minilm,
        Minilmv2,
        Pkd,
        Albert,
        Adapt,
        HeadPruning,
        FfnPruning,
        LowRank,
        Magnitude,
        Int8,
    )
}


def find(name: str) -> type[Method]:
    """The method called `name`.

    Raises:
        ConfigError: there is none.
    """
    if name not in METHODS:
        raise ConfigError([f"There is no method {name!r}; choose one of {', '.join(METHODS)}."])
    return METHODS[name]


def method_names() -> list[str]:
    """Every method's name, in the order in which they are offered."""
    return list(METHODS)
