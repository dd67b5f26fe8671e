"""One run, drawn: progress, live curves, what came out. Reads events and cards; needs no torch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pandas as pd
import streamlit as st

from app.elements.text import elapsed, escape_markdown
from app.elements.theme import Theme
from app.elements.tiles import tile_row
from app.session import caches
from app.session.browser import current_theme
from app.watch.before_after import show_before_after
from app.watch.closing import show_closing, show_multiply_adds
from app.watch.compactor_norms import MILLION, CompactorNorms, group_table, kept_shares, read_compactor_norms
from app.watch.curves import CurveAxis, Event, choose_curve_axis, curve_axis, draw_curve
from engine.learning.score_kind import ScoreKind, card_accuracies, score_kind_of
from engine.settings.amounts import format_duration
from engine.settings.budget import format_budget
from engine.sizing.shape import Shape, ShapeError
from engine.storage.runs import ENDED, Run, RunError
from engine.training.job import can_resume

STATUS_WORDS = {
    "waiting": ("waiting", ":material/hourglass:", "gray"),
    "running": ("running", ":material/play_arrow:", "blue"),
    "stopping": ("saving and stopping", ":material/pause:", "orange"),
    "stopped": ("stopped", ":material/stop:", "orange"),
    "finished": ("finished", ":material/check:", "green"),
    "failed": ("failed", ":material/error:", "red"),
    "unreadable": ("unreadable", ":material/folder_off:", "red"),
    "died": ("ended without a word", ":material/error:", "red"),
}


def show_run(run: Run, buttons: Callable[[Run, str], None]) -> str:
    """Draws `run` as it is at this moment, `buttons(run, status)` in its first line; its status."""
    try:
        status, events = run.status(), caches.run_history(run)
    except RunError as error:
        st.error(escape_markdown(error), icon=":material/folder_off:")
        return "unreadable"
    words, icon, colour = STATUS_WORDS[status]
    start = next(reversed(_events_of(events, "start")), None)
    steps, evaluations = _events_of(events, "step"), _events_of(events, "evaluation")
    norm_history = read_compactor_norms(events)
    teacher = next(reversed(_events_of(events, "teacher")), None)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.badge(words, icon=icon, color=colour)  # type: ignore[arg-type]
        if status not in ENDED:
            _progress(start, steps, events, status)
        buttons(run, status)
    _notices(run, status, events)
    card, damage = read_card(run) if status in ("finished", "stopped") else (None, "")
    if damage:
        st.error(escape_markdown(damage), icon=":material/broken_image:")
    if card:
        _results(card)
    elif status not in ENDED and start:
        _live_tiles(score_kind_of(start), steps, evaluations, teacher)
    axis = curve_axis(choose_curve_axis(steps), steps) if start and steps else CurveAxis()
    if start and norm_history:
        show_closing(run.id, norm_history, steps, axis, film=status in ENDED)
        _curves_beside_norms(start, steps, evaluations, teacher, norm_history, axis)
    elif start and (steps or len(evaluations) > 1):
        _curves(start, steps, evaluations, teacher, axis)
    return status


def read_card(run: Run) -> tuple[dict[str, Any] | None, str]:
    """(the run's card, if it has a whole one; what is wrong with it, in one sentence)."""
    try:
        card = run.card()
        if card:
            Shape.from_json(card["shape"])
    except (RunError, ShapeError) as error:
        return None, str(error)
    return card, ""


def _events_of(events: list[Event], kind: str) -> list[Event]:
    """The events of one kind in order; what was done twice, after a resume, counts once."""
    return list({event.get("step", 0): event for event in events if event["kind"] == kind}.values())


def _notices(run: Run, status: str, events: list[Event]) -> None:
    since = max((index for index, event in enumerate(events) if event["kind"] == "queued"), default=0)
    for event in events[since:]:
        if event["kind"] == "notice" and event.get("message"):
            st.warning(escape_markdown(str(event["message"])), icon=":material/healing:")
    if status == "failed":
        st.error(escape_markdown(run.error() or "The run failed."), icon=":material/error:")
        if can_resume(run):
            st.caption("Resume goes on from the last checkpoint.")
    elif status == "died":
        st.error(
            "The process ended without a last word: it was killed, or the machine went down. "
            "Resume goes on from the last checkpoint.",
            icon=":material/error:",
        )
    elif status == "waiting" and events and events[-1]["kind"] == "waiting":
        st.info(
            "Another run is using the device. This one starts by itself when that one ends.",
            icon=":material/hourglass:",
        )


def _results(card: dict[str, Any]) -> None:
    scores = card["scores"]
    if not card["complete"]:
        st.info(
            f"Stopped after {card['steps_done']:,} of {card['steps']:,} steps. The student was saved as it was then: "
            f"{escape_markdown(Shape.from_json(card['shape']))}. Resume goes on from here.",
            icon=":material/pause:",
        )
    learned, taught = card_accuracies(card)
    tiles = (
        ("Retained", f"{scores['retained']:.1%}", "of the teacher's"),
        (score_kind_of(card).title, f"{learned:.1%}", f"teacher {taught:.1%}"),
        ("Parameters", f"{card['parameters']:,}", _times_smaller(card["teacher_parameters"], card["parameters"])),
        ("Took", elapsed(card["seconds"]), card["device_name"]),
    )
    tile_row(tiles)
    if line := budget_used(card):
        st.caption(escape_markdown(line))
    show_before_after(card)


def _times_smaller(before: int, after: int) -> str:
    return "as many as the teacher" if before == after else f"{before / after:.2f}× smaller"


def _live_tiles(measure: ScoreKind, steps: list[Event], evaluations: list[Event], teacher: Event | None) -> None:
    """Tiles of a run at work; they are there from the start, so that nothing below them jumps."""
    last = steps[-1] if steps else None
    accuracy = f"{evaluations[-1]['accuracy']:.1%}" if evaluations else "–"
    tiles = (
        ("Loss", f"{last['loss']:.3f}" if last else "–", f"nats a {measure.question}"),
        (measure.title, accuracy, f"teacher {teacher['accuracy']:.1%}" if teacher else measure.of),
        ("Tokens a second", f"{last['tokens_per_second']:,.0f}" if last else "–", "words and pieces"),
        ("Time a step", f"{last['step_seconds'] * 1000:,.0f} ms" if last else "–", "forward to update"),
    )
    tile_row(tiles)


def _progress(start: Event | None, steps: list[Event], events: list[Event], status: str) -> None:
    if start is None:
        starting: Event = {"message": "Starting the process"}
        latest = next((event for event in reversed(events) if event["kind"] == "prepare"), starting)
        left = f", {elapsed(latest['seconds_left'])} left" if latest.get("seconds_left") else ""
        st.progress(latest.get("share", 0.0), f"{escape_markdown(latest['message'])}{left} …")
        return
    step = max([start["step"], *(event["step"] for event in steps)])
    left = f", {elapsed(steps[-1]['seconds_left'])} left" if steps and status == "running" else ""
    total = steps[-1].get("steps", start["steps"]) if steps else start["steps"]  # a budget in seconds moves it
    if step == total:
        left = ", folding and scoring the student …"
    if not total:
        st.progress(0.5, "Scoring and measuring the student …")
        return
    st.progress(min(1.0, step / total), f"Step {step:,} of {total:,}{left}")


def _curves(start: Event, steps: list[Event], evaluations: list[Event], teacher: Event | None, axis: CurveAxis) -> None:
    """The curves of a run without pictures."""
    colours = current_theme()
    places = [column for _ in range(2) for column in st.columns(2, gap="large")]
    if steps:
        _loss_curve(places.pop(0), steps, colours, axis)
    if len(evaluations) > 1:
        _accuracy_curve(places.pop(0), score_kind_of(start), evaluations, teacher, colours, axis)
    if numbers := {event["step"]: event["numbers"] for event in steps if event["numbers"]}:
        frame = pd.DataFrame(numbers).T
        title, unit = start.get("numbers_title", "Numbers"), start.get("numbers_unit", "")
        draw_curve(places.pop(0), title, frame, list(colours.series), unit, axis)
    if steps:
        speed = pd.DataFrame({"tokens a second": {event["step"]: event["tokens_per_second"] for event in steps}})
        draw_curve(places.pop(0), "Speed", speed, [colours.student], "tokens a second", axis)
    with st.expander("The curves as a table"):
        st.dataframe(_curve_table(score_kind_of(start), steps, evaluations, []), hide_index=True)


def _curves_beside_norms(
    start: Event,
    steps: list[Event],
    evaluations: list[Event],
    teacher: Event | None,
    norm_history: list[CompactorNorms],
    axis: CurveAxis,
) -> None:
    """The curves of a run with pictures which closing_view has not drawn."""
    colours = current_theme()
    places = list(st.columns(3, gap="medium"))
    if show_multiply_adds(places[0], start, norm_history, axis):
        places.pop(0)
    if steps:
        _loss_curve(places.pop(0), steps, colours, axis)
    if len(evaluations) > 1:
        _accuracy_curve(places.pop(0), score_kind_of(start), evaluations, teacher, colours, axis)
    with st.expander("The curves as a table"):
        st.dataframe(_curve_table(score_kind_of(start), steps, evaluations, norm_history), hide_index=True)
        st.markdown(f"The groups at step {norm_history[-1].step:,}")
        st.dataframe(group_table(norm_history[-1]), hide_index=True)


def _loss_curve(place: Any, steps: list[Event], colours: Theme, axis: CurveAxis) -> None:
    losses = pd.DataFrame({event["step"]: event["losses"] for event in steps}).T
    draw_curve(place, "Training loss", losses, [colours.student, *colours.series], "nats", axis)


def _accuracy_curve(
    place: Any, measure: ScoreKind, evaluations: list[Event], teacher: Event | None, colours: Theme, axis: CurveAxis
) -> None:
    accuracy = pd.DataFrame({"student": {event["step"]: 100 * event["accuracy"] for event in evaluations}})
    if teacher:
        accuracy["teacher"] = 100 * teacher["accuracy"]
    title = measure.title if " on " in measure.title else f"{measure.title} on {measure.of}"
    draw_curve(place, title, accuracy, [colours.student, colours.teacher], "%", axis)


def _curve_table(
    measure: ScoreKind, steps: list[Event], evaluations: list[Event], norm_history: list[CompactorNorms]
) -> pd.DataFrame:
    """One row a step: what the curves show, in their units."""
    accuracies = {event["step"]: event["accuracy"] for event in evaluations}
    rows = [
        {
            "step": event["step"],
            **{name: event[name] for name in ("tokens", "flops") if name in event},
            "loss, nats": round(event["loss"], 4),
            "tokens a second": round(event["tokens_per_second"]),
            "ms a step": round(1000 * event["step_seconds"], 1),
            **{name: round(value, 1) for name, value in event["numbers"].items()},
            measure.title[:1].lower() + measure.title[1:]: accuracies.get(event["step"]),
        }
        for event in steps
    ]
    frame = pd.DataFrame(rows, columns=None if rows else ["step"])
    if not norm_history:
        return frame
    shares = kept_shares(norm_history)[0].round(1).add_suffix(" kept, %")
    shares["million multiply-adds a token"] = pd.Series(
        {norms.step: round(norms.multiply_adds / MILLION, 3) for norms in norm_history if norms.multiply_adds}
    )
    return frame.merge(shares.rename_axis("step").reset_index(), how="outer", on="step")


def budget_used(card: dict[str, Any]) -> str:
    """What a finished run used of what was planned, in one sentence; empty where nothing was used, or known."""
    budget = card.get("budget")
    if not isinstance(budget, dict) or not isinstance(card.get("flops"), int) or not card["flops"]:
        return ""
    planned = budget.get("planned") or {}
    parts = []
    for name in ("tokens", "flops"):
        planned_part = (
            f" of {format_budget(planned[name], name)} planned" if isinstance(planned.get(name), int | float) else ""
        )
        parts.append(f"{format_budget(card[name], name)}{planned_part}")
    planned_part = (
        f" of {format_duration(planned['seconds'])} planned" if isinstance(planned.get("seconds"), int | float) else ""
    )
    parts.append(f"{format_duration(card['training_seconds'])} in training steps{planned_part}")
    return f"Budget {budget.get('asked')}: used {', '.join(parts)}."
