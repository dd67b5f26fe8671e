"""Picture events: how long the compactor vectors of every dim are at one step. Data only; needs no streamlit.

A run's folder can come from anywhere, so nothing in an event is trusted: what cannot be read is left out.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

MILLION = 1_000_000
INITIAL_NORM = 100  # the byte of a vector as long as at birth
MOST_GROUPS = 200
MOST_BINS = 4096
MOST_DIMS = 10**7
MOST_LETTERS = 40  # of a group's name
SAME_LINE = 2.0  # % of the teacher's dims: lines closer than this are one on the screen
SPELLINGS = {"ffn": "FFN"}  # kinds that people write otherwise
IN_LAYER = re.compile(r"(attention|ffn) (\d{1,4})")


@dataclass(frozen=True)
class GroupNorms:
    """One group at one step."""

    label: str  # layers count from 1 here, from 0 in the event
    kind: str
    full: int  # dims of the teacher
    goal: int  # dims of the finished student
    present: int  # dims still in the matrices
    kept: int  # dims that are not closing
    norms: np.ndarray  # (bins,) uint8: 100 as at birth, 0 closed and gone

    def bounds(self) -> np.ndarray:
        """First and last dim of each bin, counted from 1; (bins, 2) int. Uneven bins share a dim with the next."""
        bin, bins = np.arange(len(self.norms)), len(self.norms)
        return np.stack([bin * self.full // bins + 1, -(-(bin + 1) * self.full // bins)], 1)


@dataclass(frozen=True)
class CompactorNorms:
    """All groups at one step, from the residual stream up through the layers."""

    step: int
    groups: tuple[GroupNorms, ...]
    multiply_adds: float | None  # of a forward pass, per token, products of compactors included


def read_compactor_norms(events: Iterable[dict[str, Any]]) -> list[CompactorNorms]:
    """The pictures among `events` that can be read, by step; of two at one step the later."""
    found: dict[int, CompactorNorms] = {}
    for event in events:
        try:
            norms_at_step = _read_step(event) if event.get("kind") == "picture" else None
        except (KeyError, TypeError, ValueError):
            continue
        if norms_at_step and norms_at_step.groups:
            found[norms_at_step.step] = norms_at_step
    return [found[step] for step in sorted(found)]


def _read_step(event: dict[str, Any]) -> CompactorNorms:
    groups = []
    for group in event["groups"][:MOST_GROUPS]:
        try:
            groups.append((_network_order(group), _read_group(group)))
        except (KeyError, TypeError, ValueError):
            continue
    groups.sort(key=lambda pair: pair[0])
    return CompactorNorms(
        _whole_number(event["step"]),
        tuple(group for _, group in groups),
        positive_number(event, "multiply_adds_per_token"),
    )


def _read_group(group: dict[str, Any]) -> GroupNorms:
    full, goal, present, kept = (_whole_number(group[name]) for name in ("full", "goal", "present", "kept"))
    norms = np.frombuffer(base64.b64decode(group["norms"], validate=True), np.uint8)
    if not (0 < len(norms) <= min(full, MOST_BINS) and max(goal, present, kept) <= full):
        raise ValueError(f"expected 1 to {full} norms and no more dims than that, got {len(norms)} norms")
    name, layer = str(group["name"]), IN_LAYER.fullmatch(str(group["name"]))
    label = f"layer {int(layer[2]) + 1} {SPELLINGS.get(layer[1], layer[1])}" if layer else name[:MOST_LETTERS]
    return GroupNorms(label, str(group["kind"])[:MOST_LETTERS], full, goal, present, kept, norms)


def _network_order(group: dict[str, Any]) -> tuple[int, int, str]:
    """Where a group stands on the way of a token: the stream, then attention and FFN of each layer, then the rest."""
    layer = IN_LAYER.fullmatch(str(group["name"]))
    rank = 0 if group["kind"] == "residual" else 1 if layer else 2
    return rank, int(layer[2]) if layer else 0, str(group["kind"])


def _whole_number(value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value <= MOST_DIMS:
        raise ValueError(f"expected a whole number from 0 to {MOST_DIMS}, got {value!r}")
    return value


def positive_number(values: object, name: str) -> float | None:
    """The positive finite number called `name` in a dict, or None."""
    value = values.get(name) if isinstance(values, dict) else None
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"):
        return float(value)
    return None


def kept_shares(norm_history: Sequence[CompactorNorms]) -> tuple[pd.DataFrame, pd.Series]:
    """Dims kept and dims kept in the end, both in % of the teacher's.

    Frame: a row a step, a column for each kind of group; kinds that go together from first to last share a column,
    their mean, for their lines would hide one another. Series: the goal of each column.
    """
    shares: dict[str, dict[int, float]] = {}
    goals: dict[str, float] = {}
    for norms_at_step in norm_history:
        for kind in dict.fromkeys(group.kind for group in norms_at_step.groups):
            groups = [group for group in norms_at_step.groups if group.kind == kind]
            full = sum(group.full for group in groups)
            shares.setdefault(kind, {})[norms_at_step.step] = 100 * sum(group.kept for group in groups) / full
            goals[kind] = 100 * sum(group.goal for group in groups) / full
    merged: list[list[str]] = []
    for kind in shares:
        for kinds in merged:
            if goals[kind] == goals[kinds[0]] and _largest_gap(shares[kind], shares[kinds[0]]) <= SAME_LINE:
                kinds.append(kind)
                break
        else:
            merged.append([kind])
    named = {
        "all groups" if 1 < len(kinds) == len(shares) else ", ".join(SPELLINGS.get(kind, kind) for kind in kinds): kinds
        for kinds in merged
    }
    frame = pd.DataFrame({name: pd.DataFrame(shares)[kinds].mean(axis=1) for name, kinds in named.items()})
    return frame.sort_index(), pd.Series({name: goals[kinds[0]] for name, kinds in named.items()})


def _largest_gap(one: dict[int, float], other: dict[int, float]) -> float:
    """How far two curves lie apart at most, at the steps that both have."""
    return max((abs(one[step] - other[step]) for step in one.keys() & other.keys()), default=0.0)


def group_table(norms_at_step: CompactorNorms) -> pd.DataFrame:
    """One row a group: its dims, counted, and the mean norm of its vectors."""
    return pd.DataFrame(
        {
            "group": group.label,
            "teacher's dims": group.full,
            "in the matrices": group.present,
            "kept": group.kept,
            "goal": group.goal,
            "mean norm": round(float(group.norms.mean()) / INITIAL_NORM, 2),
        }
        for group in norms_at_step.groups
    )
