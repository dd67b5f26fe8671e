"""At which width int8 pays: python -m engine bench int8.

A forward pass of one model in float32 and rounded to int8, taking turns, so that a slow moment of the machine hits both
alike; medians.
"""

from __future__ import annotations

import statistics
import time
from typing import Any

import torch

from engine.benches.wid_contestants import Case, chosen, new_batch, not_here
from engine.model.bert import Bert, new_bert
from engine.model.pruning import convert
from engine.settings.device import Device, pick_device
from engine.sizing.shape import Shape
from engine.text.masking import Batch

START = Shape(layers=4, hidden=128, heads=4)
WIDTHS = (64, 128, 192, 256, 384, 768)
CASES = {
    name: Case(device, START, tuple(START.replace(hidden=width) for width in widths), rows, 64)
    for name, device, widths, rows in (
        ("cpu", "cpu", WIDTHS, 16),
        ("cuda", "cuda", WIDTHS, 64),
        ("tiny", "cpu", WIDTHS[:2], 2),  # the same path in a second, for tests
    )
}
WARM = 2  # passes that make buffers


def bench_int8(name: str, repeats: int = 21) -> dict[str, Any]:
    """Times `repeats` forward passes of both kinds at every width of the case `name`; a plain dict, JSON-ready.

    Raises:
        ConfigError: there is no such case, or too many or too few repeats.
    """
    case = chosen(CASES, name, repeats)
    if why := not_here(case):
        return {"case": name, "measured": False, "why": why}
    device, batch = pick_device(case.device), new_batch(case).to(case.device)
    rows = []
    for shape in case.students:
        plain = new_bert(shape, 0).eval()
        small = convert(plain, Shape(**{**vars(shape), "linear_bits": 8, "table_bits": 8})).eval()
        seconds = _passes([plain.to(device.type), small.to(device.type)], batch, device, repeats)
        rows.append({"width": shape.hidden, "float32": seconds[0], "int8": seconds[1]})
    return {
        "case": name,
        "measured": True,
        "device": device.name,
        "layers": START.layers,
        "tokens": case.rows * case.length,
        "repeats": repeats,
        "torch": torch.__version__,
        "rows": rows,
    }


@torch.inference_mode()
def _passes(models: list[Bert], batch: Batch, device: Device, repeats: int) -> list[float]:
    """Median seconds of a pass of each model, hidden words predicted. In float32 wherever nothing is rounded."""
    taken: list[list[float]] = [[] for _ in models]
    for _ in range(WARM + repeats):
        for model, times in zip(models, taken, strict=True):
            device.synchronize()
            began = time.perf_counter()
            model(batch.ids, batch.visible, positions=batch.positions)
            device.synchronize()
            times.append(time.perf_counter() - began)
    return [statistics.median(times[WARM:]) for times in taken]


def table(found: dict[str, Any]) -> str:
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
        plain, small = 1000 * row["float32"], 1000 * row["int8"]
        lines.append(f"| {row['width']:,} | {plain:,.1f} | {small:,.1f} | {plain / small:.2f} |")
    return "\n".join(lines)
