"""A curve over steps. st.line_chart is updated in place; a plotly chart would flicker at every change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

LEGEND = 55  # pixels; a curve without one is that much lower, so that the axes of neighbours meet
MOST_POINTS = 500  # of a curve; a long run has thousands, more than the screen has pixels


def curve(place: Any, title: str, frame: pd.DataFrame, colours: Sequence[str], unit: str, height: int = 230) -> None:
    """Draws `frame` (a row a step, a column a line) into `place` under `title`; `height` in pixels, legend included."""
    place.markdown(f"**{title}**")
    frame = frame.dropna(axis=1, how="all")
    frame = frame.iloc[:: max(1, len(frame) // MOST_POINTS)]
    place.line_chart(
        frame,
        color=list(colours[: len(frame.columns)]),
        x_label="step",
        y_label=unit,
        height=height if len(frame.columns) > 1 else height - LEGEND,
        alt=f"{title} over steps, in {unit}: {', '.join(map(str, frame.columns))}.",
    )
