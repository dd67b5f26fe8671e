"""What the Size page compares: up to four named configurations side by side, and what is looked at of them.

Plain values only. As a link that can be sent: comparison_link.py; as a file: comparison_export.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.sizing.presets import find_preset
from engine.sizing.shape import COMPRESSION_FIELDS, Shape
from engine.sizing.solver import DEFAULT_KEPT

MAX_CONFIGURATIONS = 4  # configurations side by side
MAX_NAME_LENGTH = 40
SHAPE_FIELDS = tuple(  # what a size depends on, and what a person edits
    spec.name for spec in dataclasses.fields(Shape) if spec.name not in (*COMPRESSION_FIELDS, "norm_eps")
)
SWITCH_FIELDS = ("pooler", "mlm_head", "pair_head", "tied")
CHOICE_FIELDS = ("family", "sharing", "activation")
NUMBER_FIELDS = tuple(name for name in SHAPE_FIELDS if name not in (*SWITCH_FIELDS, *CHOICE_FIELDS))
TRAINED_MODELS = ("transformers-sdpa", "transformers-eager", "ours")  # whose model, and with which attention
TABS = ("formula", "tensors", "cost", "backwards", "what-if", "papers")
_ODD_RATIOS = 64  # an FFN that is a whole number of 64ths of the width goes on being that


def editable_fields(shape: Shape) -> dict[str, Any]:
    """The fields of `shape` for editing: a derived field that has its default value is None, and follows."""
    fields = {name: getattr(shape, name) for name in SHAPE_FIELDS}
    if shape.inner == shape.hidden:
        fields["head_dim"] = None
    if shape.ffn == 4 * shape.hidden:
        fields["ffn"] = None
    if shape.embedding == shape.hidden and shape.family != "albert":
        fields["embedding"] = None
    return fields


def edit_field(fields: Mapping[str, Any], name: str, value: Any) -> dict[str, Any]:
    """`fields` with one changed. An FFN that is a simple multiple of the width stays that multiple of a new width."""
    new = {**fields, name: value}
    if name == "hidden" and fields.get("ffn") is not None and isinstance(value, int) and isinstance(fields[name], int):
        old = fields["hidden"]
        if old > 0 and _ODD_RATIOS * fields["ffn"] % old == 0:
            new["ffn"] = max(1, fields["ffn"] * value // old)
    if name == "ffn" and isinstance(value, int) and value == 4 * fields["hidden"]:
        new["ffn"] = None
    if name == "pair_head" and value:
        new["pooler"] = True
    if name == "pooler" and not value:
        new["pair_head"] = False
    return new


@dataclass(frozen=True)
class Configuration:
    """One model of a comparison. `fields` are Shape's; they may not fit together, and `shape` then says why."""

    name: str
    preset: str = "bert-base"  # where it started
    fields: Mapping[str, Any] = field(default_factory=lambda: editable_fields(Shape()))

    @staticmethod
    def of(preset: str, name: str = "", **changes: Any) -> Configuration:
        """The configuration of a preset, with changed fields.

        Raises:
            ShapeError: there is no such preset.
        """
        found = find_preset(preset)
        return Configuration(name or found.label, preset, {**editable_fields(found.shape), **changes})

    @property
    def shape(self) -> Shape:
        """The shape.

        Raises:
            ShapeError: the fields do not fit together.
        """
        return Shape(**self.fields)

    def replace(self, **changes: Any) -> Configuration:
        """A copy with other name, preset or fields."""
        return dataclasses.replace(self, **changes)


@dataclass(frozen=True)
class Comparison:
    """The configurations side by side, the first being the teacher, and what is looked at."""

    configurations: tuple[Configuration, ...]
    chosen: int = 1  # which configuration the controls change, from 0
    tab: str = "formula"
    part: str = ""  # of the formula and the tensors; empty: all
    tokens: int = 128
    sequences: int = 32
    precision: str = "float32"  # of training
    run_precision: str = "bfloat16"  # of running on a device
    trained_model: str = "transformers-sdpa"  # one of TRAINED_MODELS
    memory_device: str = "gpu"  # on which it is trained
    optimizer: str = "adamw"
    checkpointing: str = "no"  # or yes
    micro_batches: int = 1
    devices: int = 1  # that train together
    zero: int = 0  # stage of ZeRO over them
    device: str = ""
    steps: int = 100_000
    sweep: str = "embedding"  # the control that moves in a what-if curve
    budget: str = "55M"  # of the question backwards, as typed
    budget_of: str = "parameters"
    keep: tuple[str, ...] = DEFAULT_KEPT

    def replace(self, **changes: Any) -> Comparison:
        """A copy with changes."""
        return dataclasses.replace(self, **changes)


def default_comparison() -> Comparison:
    """What a page without a link begins with: BERT base, and a student half as wide."""
    return Comparison((Configuration.of("bert-base", "Teacher"), Configuration.of("bert-base", "Student", hidden=384)))


def clean_name(text: str, otherwise: str) -> str:
    """A name for a configuration: one line of printable text, not too long."""
    printable = "".join(sign if sign.isprintable() else " " for sign in text)
    return " ".join(printable.split())[:MAX_NAME_LENGTH].strip() or otherwise
