"""A run's attention over its training: a film of mosaics beside the teacher's, and the score's course."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import streamlit as st

from app.elements.buttons import lazy_csv_button
from app.elements.mosaic_image import LARGE, SMALL, contact_sheet, film_strip, large_image
from app.elements.text import escape_markdown, join_word_pieces
from app.elements.theme import Theme
from app.examine.score_over_time import read_score_curve, show_score_curves
from app.session import caches
from app.session.browser import current_theme, is_dark, recall, remember
from app.session.link import set_link_value
from app.session.widget_values import persistent, persistent_choice, set_widget_value, start_from_link, widget_value
from engine.inheritance.curve import InheritanceCurve
from engine.storage.attention_frames import AttentionFrames, AttentionFramesError, read_frames
from engine.storage.runs import Run

SECONDS_A_FRAME = 0.9  # seconds a picture stands while the film plays
MOST_SMALL = 20  # small pictures below the large ones; the slider has all


def show_film(run: Run) -> None:
    """The tab of `run`."""
    colours = current_theme()
    try:
        snapshots, curve = read_frames(run.attention_dir), read_score_curve(run)
    except ValueError as error:
        st.error(escape_markdown(error), icon=":material/broken_image:")
        return
    if snapshots is None or not snapshots.steps:
        st.info(
            "This run kept no pictures of its attention: it was made before runs did. Train it again to see its film.",
            icon=":material/movie:",
        )
    else:
        _show_film(run, snapshots, curve, colours)
    show_score_curves(run, curve, colours)


def _show_film(run: Run, snapshots: AttentionFrames, curve: InheritanceCurve | None, colours: Theme) -> None:
    st.caption(
        "At every evaluation the run keeps where its student looks in a dozen held-out sentences. Rows of a mosaic are "
        "layers, its columns heads; student and teacher are drawn on one scale."
    )
    names = [_sentence_text(tokens) for tokens in snapshots.tokens]
    left, right = st.columns([4, 1], vertical_alignment="bottom")
    name = f"film_sentence_{run.id}"
    start_from_link(name, "film", 0, lambda word: _if_among(int(word) - 1, range(len(names))))
    sentence = left.selectbox(
        "Sentence of the film",
        format_func=names.__getitem__,
        **persistent_choice(name, range(len(names)), 0),
    )
    set_link_value("film", str(sentence + 1) if sentence else "")
    size = sum(path.stat().st_size for path in run.attention_dir.iterdir())
    try:
        teacher, pictures = caches.film_pictures(str(run.attention_dir), size, int(sentence), is_dark())
    except ValueError as error:
        st.error(escape_markdown(error), icon=":material/broken_image:")
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
        "Pause" if recall(playing) else "Play",
        icon=":material/pause:" if recall(playing) else ":material/play_arrow:",
        disabled=len(pictures) < 2,
        key=f"film_play_{run.id}",
        width="stretch",
    ):
        remember(playing, not recall(playing, False))
        st.rerun()
    scores = _score_by_step(curve)
    st.fragment(_film_frame, run_every=SECONDS_A_FRAME if recall(playing) else None)(
        run, int(sentence), pictures, teacher, scores, colours
    )


def _if_among(number: int, offered: Sequence[int]) -> int | None:
    """`number` where it is offered."""
    return number if number in offered else None


def _sentence_text(tokens: Sequence[str]) -> str:
    """A sentence's tokens as one reads them, without the special ones at its ends."""
    return join_word_pieces(tokens[1:-1])


def _film_frame(
    run: Run,
    sentence: int,
    pictures: dict[int, tuple[bytes, bytes]],
    teacher: bytes,
    scores: dict[int, float],
    colours: Theme,
) -> None:
    """One picture of the film beside the teacher's, the slider that chooses it, and the strip of all."""
    steps, name, playing = list(pictures), f"film_step_{run.id}", f"film_playing_{run.id}"
    start_from_link(name, "step", steps[-1], lambda word: _if_among(int(word), steps))
    if widget_value(name) not in pictures:
        set_widget_value(name, steps[-1])
    if recall(playing):
        place = steps.index(widget_value(name))
        set_widget_value(name, steps[(place + 1) % len(steps)])
        if place + 1 == len(steps) - 1:  # the last one is up now: the film ends there
            remember(playing, False)
            st.rerun()
    screen = st.container()
    step = steps[-1]
    if len(steps) > 1:
        step = st.select_slider(
            "Step of the film", steps, format_func=lambda step: f"step {step:,}", **persistent(name)
        )
    if not recall(playing):  # or every picture that passed by were a page to go back to
        set_link_value("step", "" if step == steps[-1] else str(step))
    left, right = screen.columns(2, gap="large")
    score_text = f", score {scores[step]:.3f}" if step in scores else ""
    with left:
        st.markdown(":blue[**Teacher**], who does not change")
        st.html(large_image(teacher, "Attention of the teacher"))
    with right:
        st.markdown(f":orange[**Student**] after {step:,} steps{score_text}")
        st.html(large_image(pictures[step][0], f"Attention of the student after {step} steps"))
    strip = sorted({*steps[:: max(1, -(-len(steps) // MOST_SMALL))], step, steps[-1]})
    frames = [(f"{at:,}" + (f": {scores[at]:.2f}" if at in scores else ""), pictures[at][1]) for at in strip]
    st.html(film_strip(frames, strip.index(step), colours, "Attention of the student at step"))
    st.caption("The film in small: below each picture its step and the inheritance score there, best matching.")
    both = [("Teacher", teacher), (f"Student after {step:,} steps{score_text}", pictures[step][0])]
    with st.container(horizontal=True):
        _svg_button("These two as SVG", lambda: contact_sheet(both, 2, LARGE, colours), f"{run.id}-step-{step}")
        _svg_button("The film as SVG", lambda: contact_sheet(frames, 5, 2 * SMALL, colours), f"{run.id}-film")
        head = ["model", "layer", "head", "from", "token", "to", "token looked at", "attention"]
        lazy_csv_button(head, lambda: _attention_rows(run, sentence, step), f"{run.id}-step-{step}", "film_step_csv")


def _svg_button(words: str, make: Callable[[], str], name: str) -> None:
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


def _attention_rows(run: Run, sentence: int, step: int) -> Iterator[list[object]]:
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


def _score_by_step(curve: InheritanceCurve | None) -> dict[int, float]:
    """Step -> score by best matching."""
    if curve is None:
        return {}
    return {
        int(step): score["score"]
        for step, score in zip(curve.axes["steps"], curve.scores["matched"], strict=True)
        if step is not None and score is not None
    }
