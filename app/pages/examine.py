"""Examine: teacher and student side by side, for a sentence that you type."""

import pandas as pd
import streamlit as st

from app import charts, state
from app.fill_view import show_fill_in
from app.film_view import show_film
from app.heads_view import notices, show_heads
from app.inheritance_view import show_inheritance
from app.lines_view import show_lines
from app.run_choice import choose_run
from app.task_view import show_tasks
from app.theme import theme
from engine import teachers
from engine.similarity import layer_steps

MEASURES = {
    "l2": ("L2 distance", "How far a layer moves each token: the Euclidean distance between its input and output."),
    "cosine": ("Cosine similarity", "Whether the direction stays: the cosine between a layer's input and output."),
}


st.title("Examine")
left, right = st.columns([1, 2])
with left:
    run = choose_run("Student", with_student=True, empty="There is no student to look at yet. Build one first.")
try:
    student = state.student_model(run.student_dir)
    teacher_name = student.card["teacher"]
    teacher = state.teacher_model(teacher_name)
except ValueError as error:
    st.error(str(error), icon=":material/broken_image:")
    st.stop()
example = teachers.card(teacher_name, state.RUNS).example
text = right.text_input(
    "Sentence",
    example,
    max_chars=2000,
    key=f"sentence_{teacher_name}",
    persist_state="session",
)
second = right.text_input(
    "Second sentence, for a pair",
    max_chars=2000,
    key=f"second_{teacher_name}",
    persist_state="session",
    placeholder="empty: one sentence alone",
)
try:
    seen = {"teacher": state.look(teacher, text, second), "student": state.look(student, text, second)}
except ValueError as error:
    st.warning(str(error), icon=":material/edit:")
    st.stop()
for words in notices(seen):
    st.warning(words, icon=":material/info:")

colours = theme(state.dark())
scores = student.card["scores"]
sides = {
    "teacher": f"**Teacher** {teacher.card['label']}, {teacher.bert.shape}",
    "student": f"**Student** {student.card['method']}, {student.bert.shape}; {scores['retained']:.1%} retained",
}
attention, lines, inheritance, over_time, layers, blanks, tasks = st.tabs(
    ["Attention", "Attention as lines", "Inheritance", "Over time", "Layers", "Fill in", "Tasks"]
)

with attention:
    show_heads(seen, sides, run.id, colours)

with lines:
    show_lines(seen, sides)

with inheritance:
    show_inheritance(teacher, student, run)

with over_time:
    show_film(run)

with layers:
    steps = {role.capitalize(): layer_steps(seen[role].hidden) for role in sides}
    for column, (measure, (title, explanation)) in zip(st.columns(2, gap="large"), MEASURES.items(), strict=True):
        with column:
            st.markdown(f"**{title}** of each layer's input and output")
            values = {name: found[measure] for name, found in steps.items()}
            st.plotly_chart(
                charts.layer_lines(values, title.lower(), colours),
                key=f"layers_{measure}",
                theme=None,
                config={"displayModeBar": False},
                alt=f"{title} per layer, teacher and student.",
            )
            st.caption(explanation)
    table = pd.DataFrame(
        {
            f"{name}, {MEASURES[measure][0]}": pd.Series(found[measure].mean(1), range(1, len(found[measure]) + 1))
            for name, found in steps.items()
            for measure in MEASURES
        }
    )
    st.dataframe(table.rename_axis("layer").round(3))
    st.caption(
        "Line and table: mean over the sentence's tokens; band: one standard deviation. After ALBERT "
        "(arXiv 1909.11942), Figure 1. Widths differ, so compare L2 distances by their course, not their height."
    )

with blanks:
    some = example.split()
    some[min(2, len(some) - 1)] = "[MASK]"
    show_fill_in(teacher, student, " ".join(some), run.id)

with tasks:
    show_tasks(teacher, student, run.id)
