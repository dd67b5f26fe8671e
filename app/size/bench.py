"""Times the size page on the server: python -m app.size.bench REPEATS prints seconds of moved sliders as JSON."""

from __future__ import annotations

import json
import sys
import time

from streamlit.testing.v1 import AppTest

from engine.settings.project import PROJECT

SCRIPT = PROJECT / "streamlit_app.py"


def moved_sliders(repeats: int) -> list[float]:
    """Seconds of one rerun each, for a comparison of four models; the first two, which import, are left out."""
    page = AppTest.from_file(str(SCRIPT), default_timeout=60)
    page.run()
    for _ in range(2):  # two models stand there, four are wanted
        next(button for button in page.button if button.label == "Duplicate").click().run()
    seconds = []
    for repeat in range(repeats + 2):
        layers = next(slider for slider in page.slider if slider.label == "Layers")
        began = time.perf_counter()
        layers.set_value(2 + repeat % 10).run()
        seconds.append(time.perf_counter() - began)
        assert not page.exception
    return seconds[2:]


if __name__ == "__main__":
    print(json.dumps(moved_sliders(int(sys.argv[1]))))
