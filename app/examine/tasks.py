"""Teacher and student on real tasks: scored on demand, kept, and drawn with their intervals."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from app.elements.figure import show_figure
from app.elements.score_charts import score_bars
from app.elements.text import escape_markdown
from app.session import caches
from app.session.browser import current_theme, recall, remember
from engine.model.saved_models import Model
from engine.tasks.catalog import TASKS
from engine.tasks.labelled import TaskError
from engine.tasks.scores import retained_score

OFFERED = [name for name in TASKS if not name.startswith("glue-") and name != "squad"]


def show_tasks(teacher: Model, student: Model, run_id: str) -> None:
    """A choice of a task and a button; below it everything that was scored in this session."""
    st.caption(
        "A linear layer on frozen features shows in a minute what a model's sentences already say about a task. Three "
        "seeds, each with other training examples, show how far scores spread. Fine-tuning takes longer and is done in "
        "a terminal; its command stands below."
    )
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    default = "grammar" if teacher.bert.shape.vocab < 1000 else "sentence_polarity"
    name = left.selectbox(
        "Task", OFFERED, OFFERED.index(default), format_func=lambda it: TASKS[it].label, key=f"task_{run_id}"
    )
    task = TASKS[name]
    st.caption(f"{task.about} Measured by {task.metrics[0]}.")
    if right.button("Score both", icon=":material/exercise:", type="primary", width="stretch"):
        _score_both(teacher, student, name, run_id)
    command = f"python -m engine evaluate {run_id} --task {name} --seeds 3"
    answers: dict[str, dict[str, dict]] = recall(f"scores_{run_id}", {})
    if answers:
        _show_scores(answers)
    st.code(command, language="sh", wrap_lines=True)


def _score_both(teacher: Model, student: Model, name: str, run_id: str) -> None:
    """Scores both models, with a bar of how far it is, and remembers the answers."""
    bar, found = st.progress(0.0), {}
    for place, (role, model) in enumerate((("Teacher", teacher), ("Student", student))):

        def say(doing: str, share: float, role: str = role, place: int = place) -> None:
            bar.progress((place + share) / 2, f"{role}: {doing}, {share:.0%}")

        try:
            found[role] = caches.score_linear_probe(model, name, say)
        except TaskError as error:
            bar.empty()
            st.error(escape_markdown(error), icon=":material/exercise:")
            return
    bar.empty()
    remember(f"scores_{run_id}", {**recall(f"scores_{run_id}", {}), name: found})


def _show_scores(answers: dict[str, dict[str, dict]]) -> None:
    bars: dict[str, dict[str, tuple[float, float | None]]] = {"Teacher": {}, "Student": {}}
    rows, retained_bars, commonest = [], {}, {}
    for name, by_role in answers.items():
        metric = by_role["Teacher"]["metric"]
        row: dict[str, str] = {"task": TASKS[name].label, "metric": metric}
        for role, answer in by_role.items():
            score = answer["scores"][metric]
            width = score["interval"] or 0.0
            row[role.lower()] = f"{100 * score['mean']:.1f} ± {100 * width:.1f}"
            bars[role][TASKS[name].label] = (100 * score["mean"], 100 * width)
        ratio = retained_score(by_role["Student"], by_role["Teacher"])
        more = f" ± {100 * ratio['interval']:.1f}" if ratio["interval"] is not None else ""
        retained_bars[TASKS[name].label] = (100 * ratio["retained"], 100 * (ratio["interval"] or 0.0))
        row["retained, %"] = f"{100 * ratio['retained']:.1f}{more}"
        commonest[TASKS[name].label] = 100 * by_role["Teacher"]["baseline"][metric]
        row["commonest class"] = f"{commonest[TASKS[name].label]:.1f}"
        rows.append(row)
    colours = current_theme()
    figures = {
        "Scores": score_bars(bars, "%", colours, reference=("Commonest class", commonest)),
        "Of the teacher's score, the student retains": score_bars(
            {"Student": retained_bars}, "%", colours, "retained", ("Teacher", dict.fromkeys(retained_bars, 100.0))
        ),
    }
    for column, (title, figure) in zip(st.columns(2, gap="large"), figures.items(), strict=True):
        with column:
            st.markdown(f"**{title}**")
            show_figure(
                figure,
                key=f"task_bars_{title}",
                alt=f"{title}, on each task, with 95% intervals.",
            )
    st.dataframe(pd.DataFrame(rows), hide_index=True)
    st.caption(
        "Mean of three seeds with the 95% interval of that mean (Student's t, two degrees of freedom), in percent. "
        "Retained: the student's score divided by the teacher's. Commonest class: what always saying it would score."
    )
