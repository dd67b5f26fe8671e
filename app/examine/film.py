"""A run's attention over its training: a film of mosaics beside the teacher's, and the score's course."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import streamlit as st

from app.elements.buttons import deferred_csv
from app.elements.mosaic_image import LARGE, SMALL, film_strip, large, sheet
from app.elements.theme import Theme, theme
from app.examine.score_over_time import course, show_course
from app.session import caches as state
from app.session import widget_values as given
from engine.inheritance.curve import InheritanceCurve
from engine.storage.attention_frames import AttentionFrames, AttentionFramesError, read_frames
from engine.storage.runs import Run

EVERY = 0.9  # seconds a picture stands while the film plays
STRIP = 20  # small pictures below the large ones; the slider has all


def show_film(run: Run) -> None:
    """The tab of `run`."""
    colours = theme(state.dark())
    try:
        snapshots, curve = read_frames(run.attention_dir), course(run)
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
    show_course(run, curve, colours)


def _show(run: Run, snapshots: AttentionFrames, curve: InheritanceCurve | None, colours: Theme) -> None:
    st.caption(
        "At every evaluation the run keeps where its student looks in a dozen held-out sentences. Rows of a mosaic are "
        "layers, its columns heads; student and teacher are drawn on one scale."
    )
    names = [_text(tokens) for tokens in snapshots.tokens]
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    name = f"film_sentence_{run.id}"
    given.begin(name, "film", 0, lambda said: _one_of(int(said) - 1, range(len(names))))
    sentence = left.selectbox(
        "Sentence of the film",
        range(len(names)),
        given.value_of(name),
        format_func=names.__getitem__,
        key=given.key(name),
    )
    state.set_link("film", str(sentence + 1) if sentence else "")
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
        run, int(sentence), pictures, teacher, scores, colours
    )


def _one_of(number: int, known: Sequence[int]) -> int | None:
    """`number` where it is known."""
    return number if number in known else None


def _text(tokens: Sequence[str]) -> str:
    """A sentence's tokens as one reads them, without the special ones at its ends."""
    return re.sub(r" (?=[.,!?])", "", " ".join(tokens[1:-1]).replace(" ##", ""))


def _frame(
    run: Run,
    sentence: int,
    pictures: dict[int, tuple[bytes, bytes]],
    teacher: bytes,
    scores: dict[int, float],
    colours: Theme,
) -> None:
    """One picture of the film beside the teacher's, the slider that chooses it, and the strip of all."""
    steps, name, playing = list(pictures), f"film_step_{run.id}", f"film_playing_{run.id}"
    given.begin(name, "step", steps[-1], lambda said: _one_of(int(said), steps))
    if given.value_of(name) not in pictures:
        given.give(name, steps[-1])
    if state.recall(playing):
        now = steps.index(given.value_of(name))
        given.give(name, steps[(now + 1) % len(steps)])
        if now + 1 == len(steps) - 1:  # the last one is up now: the film ends there
            state.remember(playing, False)
            st.rerun()
    screen = st.container()
    step = steps[-1]
    if len(steps) > 1:
        step = st.select_slider(
            "Step of the film", steps, given.value_of(name), format_func=lambda it: f"step {it:,}", key=given.key(name)
        )
    if not state.recall(playing):  # or every picture that passed by were a page to go back to
        state.set_link("step", "" if step == steps[-1] else str(step))
    left, right = screen.columns(2, gap="large")
    told = f", score {scores[step]:.3f}" if step in scores else ""
    with left:
        st.markdown(":blue[**Teacher**], who does not change")
        st.html(large(teacher, "Attention of the teacher"))
    with right:
        st.markdown(f":orange[**Student**] after {step:,} steps{told}")
        st.html(large(pictures[step][0], f"Attention of the student after {step} steps"))
    strip = sorted({*steps[:: max(1, -(-len(steps) // STRIP))], step, steps[-1]})
    frames = [(f"{it:,}" + (f": {scores[it]:.2f}" if it in scores else ""), pictures[it][1]) for it in strip]
    st.html(film_strip(frames, strip.index(step), colours, "Attention of the student at step"))
    st.caption("The film in small: below each picture its step and the inheritance score there, best matching.")
    both = [("Teacher", teacher), (f"Student after {step:,} steps{told}", pictures[step][0])]
    with st.container(horizontal=True):
        _keep_picture("These two as SVG", lambda: sheet(both, 2, LARGE, colours), f"{run.id}-step-{step}")
        _keep_picture("The film as SVG", lambda: sheet(frames, 5, 2 * SMALL, colours), f"{run.id}-film")
        head = ["model", "layer", "head", "from", "token", "to", "token looked at", "attention"]
        deferred_csv(head, lambda: _numbers(run, sentence, step), f"{run.id}-step-{step}", "film_step_csv")


def _keep_picture(words: str, make: Callable[[], str], name: str) -> None:
    """A button that saves a picture, which is made when it is pressed."""
    st.download_button(
        words,
        lambda: make().encode(),
        f"{name}.svg",
        "image/svg+xml",
        icon=":material/photo_camera:",
        key=f"film_{words}",
        on_click="ignore",
    )


def _numbers(run: Run, sentence: int, step: int) -> Iterator[list[object]]:
    """Every number of the two pictures of `step`; nothing where their file has been damaged meanwhile."""
    with contextlib.suppress(AttentionFramesError):
        snapshots = read_frames(run.attention_dir)
        assert snapshots is not None
        tokens = snapshots.tokens[sentence]
        for name, maps in (("teacher", snapshots.teacher(sentence)), ("student", snapshots.student(step, sentence))):
            for layer, heads in enumerate(maps, start=1):
                for (head, source, target), byte in np.ndenumerate(heads):
                    place = [source, tokens[source], target, tokens[target]]
                    yield [name, layer, head + 1, *place, f"{byte / 255:.3f}"]


def _scores(curve: InheritanceCurve | None) -> dict[int, float]:
    """Step -> score by best matching."""
    if curve is None:
        return {}
    return {
        int(step): score["score"]
        for step, score in zip(curve.axes["steps"], curve.scores["matched"], strict=True)
        if step is not None and score is not None
    }
