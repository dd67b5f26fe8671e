"""Times what the examine page draws: python -m app.examine.bench REPEATS prints seconds and bytes as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from app.elements.mosaic_image import film_strip, half_size, mosaic_png
from app.elements.theme import theme
from app.examine import attention_charts
from app.examine.bertviz.head_view import head_view_html
from app.examine.bertviz.model_view import model_view_html
from app.examine.inheritance_charts import score_matrix
from engine.benches.examine import TEACHER, stories
from engine.inspection.probe import probe
from engine.teachers import catalog

LAYERS, HEADS, TOKENS, FRAMES = 12, 12, 32, 11


def measure(repeats: int) -> dict[str, Any]:
    """{"seconds": what -> one a repeat, "bytes": view -> how much goes to the browser}."""
    colours, rng = theme(False), np.random.default_rng(0)
    maps = rng.dirichlet(np.full(TOKENS, 0.1), (LAYERS, HEADS, TOKENS)).astype(np.float32)
    words, grid = [f"word{place}" for place in range(TOKENS)], maps[0, 0]
    teacher = catalog.load(TEACHER)
    teacher.bert.eval()

    def new_sentence() -> None:
        for role in ("teacher", "student"):
            seen = probe(teacher.bert, teacher.tokenizer, stories(1)[0], TOKENS)
            attention_charts.attention_mosaic(seen.attentions, role, colours).to_json()
            attention_charts.attention_heatmap(seen.attentions[0, 0], seen.tokens, role, colours).to_json()
        attention_charts.attention_difference(
            seen.attentions[0, 0], seen.attentions[1, 1], seen.tokens, colours
        ).to_json()

    small = mosaic_png(half_size(list((maps * 255).astype(np.uint8))), "student", colours)
    frames = [(f"{step}", small) for step in range(FRAMES)]
    names = [f"{place}" for place in range(LAYERS * HEADS)]
    views: dict[str, Callable[[], str]] = {
        "mosaic, 12 x 12 heads, 32 tokens": lambda: attention_charts.attention_mosaic(
            maps, "teacher", colours
        ).to_json(),
        "one head, 32 tokens": lambda: attention_charts.attention_heatmap(grid, words, "teacher", colours).to_json(),
        "difference, 32 tokens": lambda: attention_charts.attention_difference(
            grid, maps[1, 1], words, colours
        ).to_json(),
        "heads by heads, 144 x 144": lambda: score_matrix(
            rng.random((LAYERS * HEADS, LAYERS * HEADS)), names, names, colours
        ).to_json(),
        "head view, 12 x 12 heads, 32 tokens": lambda: head_view_html(maps, words, dark=False, title="T"),
        "model view, 12 x 12 heads, 32 tokens": lambda: model_view_html(maps, words, dark=False, title="T"),
        "film strip of 11, 12 x 12 heads, 32 tokens": lambda: film_strip(frames, 0, colours, "T"),
    }
    seconds, sizes = {"new sentence, minilm": _times(new_sentence, repeats)}, {}
    for name, draw in views.items():
        seconds[name] = _times(draw, repeats)
        sizes[name] = len(draw().encode())
    return {"seconds": seconds, "bytes": sizes}


def _times(action: Callable[[], object], repeats: int) -> list[float]:
    action()  # imports
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        action()
        times.append(time.perf_counter() - began)
    return times


if __name__ == "__main__":
    print(json.dumps(measure(int(sys.argv[1]))))
