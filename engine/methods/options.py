"""Masked-LM beside a loss that teaches no head: the option and the presets of every method that has one."""

from __future__ import annotations

from typing import Any

from engine.settings.options import option

PRESETS: dict[str, dict[str, Any]] = {"with a head": {}, "paper": {"hard": 0.0}}
PRESET_NOTES = {
    "with a head": "The paper's losses and masked-LM, so that the student can fill in words and be scored.",
    "paper": "The paper's losses alone. Nothing teaches the head: the fill-in score of the student says nothing.",
}


def masked_lm_weight() -> Any:
    """The field `hard` of a method's options."""
    return option(
        1.0,
        "Weight of the masked-LM loss. The paper has none: its student is an encoder without a head that can fill in.",
        least=0.0,
        most=1e3,
        label="weight of masked-LM",
    )
