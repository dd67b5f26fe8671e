"""How fast the examine page draws, and how much it sends: python -m app.examine.bench.

The inheritance score as `python -m engine bench examine` times it, what is drawn, and the size of each view.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from app.elements.mosaic_image import film_strip, half_size, mosaic_png
from app.elements.theme import theme
from app.examine.attention_charts import attention_difference, attention_heatmap, attention_mosaic
from app.examine.bertviz.head_view import head_view_html
from app.examine.bertviz.model_view import model_view_html
from app.examine.inheritance_charts import score_matrix
from engine.benches.examine import TEACHER, WIDTH, bench_examine, stories
from engine.benches.timing import conditions, median_and_worst, time_repeats, times_table
from engine.cli.bench import run_page_bench
from engine.inspection.probe import probe
from engine.teachers.catalog import load_teacher

LAYERS, HEADS, TOKENS, FRAMES = 12, 12, 32, 11
WANTED = {"new sentence, minilm": 1.0, "mosaic, 12 x 12 heads, 32 tokens": 0.5}  # seconds
MOST_BYTES = 1_500_000  # of a view
WARMUP = 1  # draws, which import


def bench_examine_page(repeats: int = 3) -> dict[str, Any]:
    """As `bench_examine`, with the seconds of what is drawn and the bytes of every view that goes to the browser.

    Raises:
        ConfigError: too many or too few repeats.
    """
    found, (seconds, sizes) = bench_examine(repeats), measure_views(repeats)
    found["seconds"] |= {
        name: {**median_and_worst(taken), "wanted": WANTED.get(name)} for name, taken in seconds.items()
    }
    return {**found, "bytes": {name: {"size": size, "wanted": MOST_BYTES} for name, size in sizes.items()}}


def as_text(found: dict[str, Any]) -> str:
    """What `bench_examine_page` found, for people."""
    lines = [*times_table(found["seconds"], "s", WIDTH), f"{'':{WIDTH}}{'bytes':>12}{'':12}{'wanted':>12}"]
    lines += [f"{name:{WIDTH}}{it['size']:12,}{'':12}{it['wanted']:12,}" for name, it in found["bytes"].items()]
    return "\n".join([*lines, conditions(found["repeats"], found["load"])])


def measure_views(repeats: int) -> tuple[dict[str, list[float]], dict[str, int]]:
    """(what is drawn -> seconds of each repeat, view -> bytes that go to the browser)."""
    colours, rng = theme(False), np.random.default_rng(0)
    maps = rng.dirichlet(np.full(TOKENS, 0.1), (LAYERS, HEADS, TOKENS)).astype(np.float32)
    words, grid = [f"word{place}" for place in range(TOKENS)], maps[0, 0]
    teacher = load_teacher(TEACHER)
    teacher.bert.eval()

    def new_sentence() -> None:
        for role in ("teacher", "student"):
            seen = probe(teacher.bert, teacher.tokenizer, stories(1)[0], TOKENS)
            attention_mosaic(seen.attentions, role, colours).to_json()
            attention_heatmap(seen.attentions[0, 0], seen.tokens, role, colours).to_json()
        attention_difference(seen.attentions[0, 0], seen.attentions[1, 1], seen.tokens, colours).to_json()

    small = mosaic_png(half_size(list((maps * 255).astype(np.uint8))), "student", colours)
    frames = [(f"{step}", small) for step in range(FRAMES)]
    names = [f"{place}" for place in range(LAYERS * HEADS)]
    views: dict[str, Callable[[], str]] = {
        "mosaic, 12 x 12 heads, 32 tokens": lambda: attention_mosaic(maps, "teacher", colours).to_json(),
        "one head, 32 tokens": lambda: attention_heatmap(grid, words, "teacher", colours).to_json(),
        "difference, 32 tokens": lambda: attention_difference(grid, maps[1, 1], words, colours).to_json(),
        "heads by heads, 144 x 144": lambda: score_matrix(
            rng.random((LAYERS * HEADS, LAYERS * HEADS)), names, names, colours
        ).to_json(),
        "head view, 12 x 12 heads, 32 tokens": lambda: head_view_html(maps, words, dark=False, title="T"),
        "model view, 12 x 12 heads, 32 tokens": lambda: model_view_html(maps, words, dark=False, title="T"),
        "film strip of 11, 12 x 12 heads, 32 tokens": lambda: film_strip(frames, 0, colours, "T"),
    }
    seconds = {"new sentence, minilm": time_repeats(new_sentence, repeats, WARMUP)}
    seconds |= {name: time_repeats(draw, repeats, WARMUP) for name, draw in views.items()}
    return seconds, {name: len(draw().encode()) for name, draw in views.items()}


if __name__ == "__main__":
    about = "Measure how fast the examine page draws, and how much it sends."
    run_page_bench("app.examine.bench", about, bench_examine_page, as_text, repeats=3)
