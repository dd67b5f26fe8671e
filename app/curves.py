"""A curve over what axis.py offers. st.line_chart is updated in place; a plotly chart would flicker at every change."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pandas as pd

from app.axis import Axis

LEGEND = 55  # pixels; a curve without one is that much lower, so that the axes of neighbours meet
MOST_POINTS = 500  # of a curve; a long run has thousands, more than the screen has pixels


def curve(
    place: Any, title: str, frame: pd.DataFrame, colours: Sequence[str], unit: str, axis: Axis, height: int = 230
) -> None:
    """Draws `frame` (a row a step, a column a line) over `axis` into `place` under `title`.

    `height` in pixels, legend included.
    """
    place.markdown(f"**{title}**")
    frame = frame.dropna(axis=1, how="all")
    frame = axis.of(frame.iloc[:: max(1, len(frame) // MOST_POINTS)])
    place.line_chart(
        frame,
        color=list(colours[: len(frame.columns)]),
        x_label=axis.label,
        y_label=unit,
        height=height if len(frame.columns) > 1 else height - LEGEND,
        alt=f"{title} over {axis.label}, in {unit}: {', '.join(map(str, frame.columns))}.",
    )
