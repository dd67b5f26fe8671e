"""How fast the size page is: python -m app.size.bench.

The answers of the calculator as `python -m engine bench size` times them, and one moved slider on the server.
"""

from __future__ import annotations

from typing import Any

from streamlit.testing.v1 import AppTest

from engine.benches.size import as_text, bench_size
from engine.benches.timing import median_and_worst, time_once
from engine.cli.bench import run_page_bench
from engine.settings.project import PROJECT

SCRIPT = PROJECT / "streamlit_app.py"
SLIDER, WANTED = "changed control, server", 0.1  # seconds
WARMUP = 2  # reruns, which import


def bench_size_page(repeats: int = 7) -> dict[str, Any]:
    """As `bench_size`, with the row SLIDER behind the others.

    Raises:
        ConfigError: too many or too few repeats.
    """
    found = bench_size(repeats)
    found["answers"][SLIDER] = median_and_worst(time_moved_sliders(repeats)) | {"wanted": WANTED}
    return found


def time_moved_sliders(repeats: int) -> list[float]:
    """Seconds of `repeats` reruns of the page, each for one moved slider, for a comparison of four models."""
    page = AppTest.from_file(str(SCRIPT), default_timeout=60)
    page.run()
    for _ in range(2):  # two models stand there, four are wanted
        next(button for button in page.button if button.label == "Duplicate").click().run()
    seconds = []
    for repeat in range(WARMUP + repeats):
        layers = next(slider for slider in page.slider if slider.label == "Layers")
        moved = layers.set_value(2 + repeat % 10)
        seconds.append(time_once(moved.run))
        assert not page.exception
    return seconds[WARMUP:]


if __name__ == "__main__":
    run_page_bench("app.size.bench", "Measure how fast the size page is.", bench_size_page, as_text, repeats=7)
