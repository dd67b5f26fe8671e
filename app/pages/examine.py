"""Examine: teacher and student side by side, for a sentence that you type."""

import pandas as pd
import streamlit as st

from app import charts, state
from app.attention_view import MAX_TOKENS, head_view_html
from engine import teachers
from engine.runs import RunError, list_runs, open_run
from engine.similarity import layer_steps

MEASURES = {
    "l2": ("L2 distance", "How far a layer moves each token: the Euclidean distance between its input and output."),
    "cosine": ("Cosine similarity", "Whether the direction stays: the cosine between a layer's input and output."),
}

st.title("Examine")
try:
    wanted = state.link("run")
    if wanted:
        open_run(state.RUNS, wanted)
except RunError as error:
    st.error(str(error), icon=":material/link_off:")
    wanted = ""
runs = [run for run in list_runs(state.RUNS) if run.student_dir.exists()]
if not runs:
    st.info("There is no student to look at yet. Build one first.", icon=":material/construction:")
    st.page_link("app/pages/build.py", label="Build a student", icon=":material/construction:")
    st.stop()

left, right = st.columns([1, 2])
ids = [run.id for run in runs]
chosen = left.selectbox("Student", ids, index=ids.index(wanted) if wanted in ids else 0)
state.set_link("run", chosen)
run = runs[ids.index(chosen)]
try:
    student = state.student_model(run.student_dir)
    teacher_name = student.card["teacher"]
    teacher = state.teacher_model(teacher_name)
except ValueError as error:
    st.error(str(error), icon=":material/broken_image:")
    st.stop()
text = right.text_input(
    "Sentence",
    teachers.card(teacher_name).example,
    max_chars=2000,
    key=f"sentence_{teacher_name}",
    persist_state="session",
)
try:
    seen = {"teacher": state.look(teacher, text), "student": state.look(student, text)}
except ValueError as error:
    st.warning(str(error), icon=":material/edit:")
    st.stop()
if seen["teacher"].unknown:
    listed = ", ".join(dict.fromkeys(seen["teacher"].unknown))
    st.warning(
        f"The teacher's vocabulary does not have: {listed}. These words appear as [UNK].", icon=":material/help:"
    )
if seen["teacher"].cut:
    st.warning(
        f"The sentence is long: its last {seen['teacher'].cut} tokens were left out.", icon=":material/content_cut:"
    )

colours, tokens = charts.theme(state.dark()), seen["teacher"].tokens
scores = student.card["scores"]
sides = {
    "teacher": f"**Teacher** {teacher.card['label']}, {teacher.bert.shape}",
    "student": f"**Student** {student.card['method']}, {student.bert.shape}; {scores['retained']:.1%} retained",
}
attention, lines, layers = st.tabs(["Attention", "Attention as lines", "Layers"])

with attention:
    st.caption(
        "Every head of every layer: a row of a square is the word that looks, a column the word looked at. "
        "Click a square to open that head below."
    )
    picked = {}
    for column, (role, words) in zip(st.columns(2, gap="large"), sides.items(), strict=True):
        with column:
            st.markdown(words)
            maps = seen[role].attentions  # (layer, head, pos, pos)
            event = st.plotly_chart(
                charts.mosaic(maps, role, colours),
                key=f"mosaic_{role}_{chosen}",
                theme=None,
                on_select="rerun",
                selection_mode="points",
                config={"displayModeBar": False},
                alt=f"Attention of the {role}: {maps.shape[0]} layers by {maps.shape[1]} heads.",
            )
            points = event.selection.points
            picked[role] = points[-1]["customdata"][:2] if points else (1, 1)
    for column, role in zip(st.columns(2, gap="large"), sides, strict=True):
        with column:
            count, heads = seen[role].attentions.shape[:2]
            first, second = st.columns(2)
            clicked = picked[role]
            layer = first.selectbox(
                f"Layer of the {role}",
                range(1, count + 1),
                index=clicked[0] - 1,
                key=f"layer_{role}_{chosen}_{clicked}",
            )
            head = second.selectbox(
                f"Head of the {role}", range(1, heads + 1), index=clicked[1] - 1, key=f"head_{role}_{chosen}_{clicked}"
            )
            grid = seen[role].attentions[layer - 1, head - 1]
            st.plotly_chart(
                charts.one_head(grid, tokens, role, colours),
                key=f"one_{role}",
                theme=None,
                config={"displayModeBar": False},
                alt=f"Attention of the {role}'s layer {layer}, head {head}.",
            )
            with st.expander("As a table"):
                names = [f"{place} {token}" for place, token in enumerate(tokens)]
                st.dataframe(pd.DataFrame(grid.round(3), names, names))

with lines:
    st.caption("The same attention drawn by bertviz: what the left word looks at, on the right.")
    if len(tokens) > MAX_TOKENS:
        st.info(f"This view holds {MAX_TOKENS} tokens; the sentence has {len(tokens)}.", icon=":material/content_cut:")
    else:
        for column, (role, words) in zip(st.columns(2, gap="large"), sides.items(), strict=True):
            with column:
                st.markdown(words)
                html = head_view_html(
                    seen[role].attentions, tokens, dark=state.dark(), title=f"Attention of the {role}"
                )
                st.iframe(html, alt=f"bertviz head view of the {role}'s attention")

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
