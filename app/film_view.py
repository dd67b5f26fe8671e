"""A run's attention over its training: a film of mosaics beside the teacher's, and the score's course."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Sequence
from typing import Any

import streamlit as st

from app import given, state
from app import inheritance_charts as charts
from app.charts import SAVE
from app.csv_button import as_csv
from app.inheritance_view import PAIRINGS, thousandths
from app.mosaic_image import film_strip, large
from app.tables import table
from app.theme import Theme, theme
from engine.inheritance_curve import AXES, Curve
from engine.runs import Run, RunError, list_runs
from engine.snapshots import Snapshots, read_snapshots

EVERY = 0.9  # seconds a picture stands while the film plays
MOST_RUNS = 6  # on one chart
STRIP = 20  # small pictures below the large ones; the slider has all


def show_film(run: Run) -> None:
    """The tab of `run`."""
    colours = theme(state.dark())
    try:
        snapshots, curve = read_snapshots(run.attention_dir), _curve(run)
    except ValueError as error:
        st.error(str(error), icon=":material/broken_image:")
        return
    if snapshots is None or not snapshots.steps:
        st.info(
            "This run kept no pictures of its attention: it was made before runs did. Train it again to see its film.",
            icon=":material/movie:",
        )
    else:
        _show(run, snapshots, curve, colours)
    _curves(run, curve, colours)


def _show(run: Run, snapshots: Snapshots, curve: Curve | None, colours: Theme) -> None:
    st.caption(
        "At every evaluation the run keeps where its student looks in a dozen held-out sentences. Rows of a mosaic are "
        "layers, its columns heads; student and teacher are drawn on one scale."
    )
    names = [_text(tokens) for tokens in snapshots.tokens]
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    sentence = left.selectbox(
        "Sentence of the film", range(len(names)), format_func=names.__getitem__, key=f"film_sentence_{run.id}"
    )
    size = sum(path.stat().st_size for path in run.attention_dir.iterdir())
    try:
        teacher, pictures = state.film_pictures(str(run.attention_dir), size, int(sentence), state.dark())
    except ValueError as error:
        st.error(str(error), icon=":material/broken_image:")
        return
    missing = len(snapshots.steps) - len(pictures)
    if missing:
        st.warning(
            f"{missing} of {len(snapshots.steps)} pictures are damaged and left out.", icon=":material/broken_image:"
        )
    if not pictures:
        return
    playing = f"film_playing_{run.id}"
    if right.button(
        "Pause" if state.recall(playing) else "Play",
        icon=":material/pause:" if state.recall(playing) else ":material/play_arrow:",
        disabled=len(pictures) < 2,
        key=f"film_play_{run.id}",
        width="stretch",
    ):
        state.remember(playing, not state.recall(playing, False))
        st.rerun()
    scores = _scores(curve)
    st.fragment(_frame, run_every=EVERY if state.recall(playing) else None)(
        run.id, playing, pictures, teacher, scores, colours
    )


def _text(tokens: Sequence[str]) -> str:
    """A sentence's tokens as one reads them, without the special ones at its ends."""
    return re.sub(r" (?=[.,!?])", "", " ".join(tokens[1:-1]).replace(" ##", ""))


def _frame(
    run_id: str,
    playing: str,
    pictures: dict[int, tuple[bytes, bytes]],
    teacher: bytes,
    scores: dict[int, float],
    colours: Theme,
) -> None:
    """One picture of the film beside the teacher's, the slider that chooses it, and the strip of all."""
    steps, name = list(pictures), f"film_step_{run_id}"
    if given.shown(name, steps[-1]) not in pictures:
        given.give(name, steps[-1])
    if state.recall(playing):
        now = steps.index(given.shown(name))
        given.give(name, steps[(now + 1) % len(steps)])
        if now + 1 == len(steps) - 1:  # the last one is up now: the film ends there
            state.remember(playing, False)
            st.rerun()
    screen = st.container()
    step = steps[-1]
    if len(steps) > 1:
        step = st.select_slider(
            "Step of the film", steps, given.shown(name), format_func=lambda it: f"step {it:,}", key=given.key(name)
        )
    left, right = screen.columns(2, gap="large")
    told = f", score {scores[step]:.3f}" if step in scores else ""
    with left:
        st.markdown(":blue[**Teacher**], who does not change")
        st.html(large(teacher, "Attention of the teacher"))
    with right:
        st.markdown(f":orange[**Student**] after {step:,} steps{told}")
        st.html(large(pictures[step][0], f"Attention of the student after {step} steps"))
    shown = sorted({*steps[:: max(1, -(-len(steps) // STRIP))], step, steps[-1]})
    frames = [(f"{it:,}" + (f": {scores[it]:.2f}" if it in scores else ""), pictures[it][1]) for it in shown]
    st.html(film_strip(frames, shown.index(step), colours, "Attention of the student at step"))
    st.caption("The film in small: below each picture its step and the inheritance score there, best matching.")


def _scores(curve: Curve | None) -> dict[int, float]:
    """Step -> score by best matching."""
    if curve is None:
        return {}
    return {
        int(step): score["score"]
        for step, score in zip(curve.axes["steps"], curve.scores["matched"], strict=True)
        if step is not None and score is not None
    }


def _curve(run: Run) -> Curve | None:
    size = run.events_path.stat().st_size if run.events_path.exists() else 0
    return state.score_curve(str(run.path), size)


def _kin(curve: Curve) -> dict[str, Curve]:
    """The curves that can share a chart with `curve`: same teacher, text and length. Newest first."""
    found: dict[str, Curve] = {}
    for other in list_runs(state.RUNS):
        with contextlib.suppress(RunError):  # another run's damage is shown on its own page
            its = _curve(other)
            if its is not None and its.kin == curve.kin:
                found[other.id] = its
    return found


def _curves(run: Run, curve: Curve | None, colours: Theme) -> None:
    st.markdown("**The inheritance score over training**")
    if curve is None:
        st.caption("This run has not told its score.")
        return
    curves = _kin(curve)
    first, second, third = st.columns([3, 1, 1], vertical_alignment="bottom")
    chosen = first.multiselect(
        "Runs",
        list(curves),
        _suggested(run.id, curves),
        format_func=lambda id: f"{curves[id].method} {curves[id].shape} ({id})",
        key=f"film_runs_{run.id}",
        max_selections=MOST_RUNS,
        help="Runs with the same teacher and text.",
    )
    axis = second.selectbox("Against", list(AXES), format_func=AXES.__getitem__, key=f"film_axis_{run.id}")
    pairing = third.selectbox(
        "Paired by", list(PAIRINGS), format_func=PAIRINGS.__getitem__, key=f"film_pairing_{run.id}"
    )
    if not chosen:
        st.caption("Choose at least one run.")
        return
    shown = [curves[id] for id in chosen]
    silent = [one.run for one in shown if all(x is None for x in one.axes[axis]) or not any(one.scores[pairing])]
    if silent:
        st.info(f"Not drawn, for they do not tell it: {', '.join(silent)}.", icon=":material/info:")
    names = _names(shown)
    st.plotly_chart(
        charts.score_curves(shown, names, pairing, axis, AXES[axis], colours),
        key=f"film_curves_{run.id}",
        theme=None,
        config=SAVE,
        alt="Inheritance score over training, one line a run.",
    )
    st.caption(
        "0 is what freshly initialised students of the same shape score, 1 is the teacher's own attention. Nobody was "
        "asked to imitate attention unless the method says so: WID, soft targets and learning from scratch have no "
        "loss on it. Bands: 95% intervals over a dozen sentences."
    )
    st.html(_ends(shown, names, pairing, colours))
    _curves_as_csv(shown, names, pairing)


def _suggested(run_id: str, curves: dict[str, Curve]) -> list[str]:
    """The run itself and the newest of every other method with its shape."""
    own = curves.get(run_id)
    found = [run_id] if own else []
    methods = {own.method} if own else set()
    for id, curve in curves.items():
        if len(found) < MOST_RUNS and curve.method not in methods and (own is None or curve.shape == own.shape):
            found.append(id)
            methods.add(curve.method)
    return found


def _names(curves: list[Curve]) -> list[str]:
    """The methods, with what tells two runs of one method apart."""
    methods = [curve.method for curve in curves]
    return [
        f"{curve.method} {curve.shape}" + (f" {curve.run[:15]}" if methods.count(curve.method) > 1 else "")
        for curve in curves
    ]


def _curves_as_csv(curves: list[Curve], names: list[str], pairing: str) -> None:
    """Every point of the curves, for a spreadsheet."""
    axes = list(dict.fromkeys(axis for curve in curves for axis in curve.axes))
    lines = [
        [name, curve.run, *(curve.axes[axis][at] if axis in curve.axes else "" for axis in axes)]
        + [figure[part] for part in ("score", "low", "high")]
        for curve, name in zip(curves, names, strict=True)
        for at, figure in enumerate(curve.scores[pairing])
        if figure
    ]
    as_csv(["method", "run", *axes, "score", "low", "high"], lines, "inheritance-over-time", "film_csv")


def _ends(curves: list[Curve], names: list[str], pairing: str, colours: Theme) -> str:
    """The last score of every run as a table, nulls beside."""

    def said(figure: Any) -> str:
        if not figure:
            return "–"
        score, low, high = (thousandths(figure[name]) for name in ("score", "low", "high"))
        return f"{score} ({low} to {high})"

    rows = [
        [
            name,
            f"{curve.axes['steps'][-1]:,.0f}",
            said(curve.scores[pairing][-1]),
            said(curve.shuffled[-1]),
            said(curve.random[-1]),
        ]
        for curve, name in zip(curves, names, strict=True)
    ]
    return table(["run", "steps", "score at its end", "heads shuffled", "random student"], rows, colours)
