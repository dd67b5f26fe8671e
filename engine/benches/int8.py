"""At which width int8 pays: python -m engine bench int8.

A forward pass of one model in float32 and rounded to int8, taking turns; medians.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable
from typing import Any

import torch

from engine.benches.cases import INT8_CASES, INT8_TEACHER, find_case, why_unavailable
from engine.benches.timing import measured_on, time_in_turn
from engine.model.bert import Bert, new_bert
from engine.model.pruning import convert
from engine.settings.device import pick_device
from engine.sizing.shape import Shape
from engine.text.masking import Batch

WARMUP = 2  # passes that make buffers


def bench_int8(name: str, repeats: int = 21) -> dict[str, Any]:
    """Times `repeats` forward passes of both kinds at every width of the case `name`; a plain dict, JSON-ready.

    Raises:
        ConfigError: there is no such case, or too many or too few repeats.
    """
    case = find_case(INT8_CASES, name, repeats)
    if why := why_unavailable(case):
        return {"case": name, "measured": False, "why": why}
    device, batch = pick_device(case.device), case.random_batch()
    rows = []
    for shape in case.students:
        whole = new_bert(shape, 0).eval()
        rounded = convert(whole, Shape(**{**vars(shape), "linear_bits": 8, "table_bits": 8})).eval()
        passes = {
            "float32": _forward_pass(whole.to(device.type), batch),
            "int8": _forward_pass(rounded.to(device.type), batch),
        }
        seconds = time_in_turn(passes, repeats, WARMUP, device)
        rows.append({"width": shape.hidden, **{name: statistics.median(taken) for name, taken in seconds.items()}})
    return {
        "case": name,
        "measured": True,
        **measured_on(device),
        "layers": INT8_TEACHER.layers,
        "tokens": case.tokens,
        "repeats": repeats,
        "rows": rows,
    }


def _forward_pass(model: Bert, batch: Batch) -> Callable[[], object]:
    """One forward pass, hidden words predicted; in float32 wherever nothing is rounded."""

    @torch.inference_mode()
    def forward_pass() -> None:
        model(batch.ids, batch.visible, positions=batch.positions)

    return forward_pass


def as_markdown(found: dict[str, Any]) -> str:
    """What `bench_int8` found, for people: a markdown table."""
    if not found["measured"]:
        return found["why"]
    lines = [
        f"{found['layers']} layers on {found['device']}, {found['tokens']:,} tokens a pass, medians of "
        f"{found['repeats']} passes",
        "",
        "| width | float32, ms | int8, ms | times as quick |",
        "|--:|--:|--:|--:|",
    ]
    for row in found["rows"]:
        float32, int8 = 1000 * row["float32"], 1000 * row["int8"]
        lines.append(f"| {row['width']:,} | {float32:,.1f} | {int8:,.1f} | {float32 / int8:.2f} |")
    return "\n".join(lines)
