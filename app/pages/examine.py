"""Examine: teacher and student side by side, for a sentence that you type."""

import pandas as pd
import streamlit as st

from app import charts, state
from app.attention_view import MAX_TOKENS, head_view_html
from app.fill_view import show_fill_in
from app.run_choice import choose_run
from app.task_view import show_tasks
from app.theme import theme
from engine import teachers
from engine.similarity import layer_steps

MEASURES = {
    "l2": ("L2 distance", "How far a layer moves each token: the Euclidean distance between its input and output."),
    "cosine": ("Cosine similarity", "Whether the direction stays: the cosine between a layer's input and output."),
}


def open_clicked(role: str, points: list[dict], sizes: dict[str, tuple[int, ...]]) -> None:
    """Opens the head that was just clicked in the mosaic of `role`, and the one in its place in the other model.

    `sizes`: the heads of each layer of each model; one with fewer layers opens the layer at the same relative depth.
    """
    clicked = tuple(points[-1]["customdata"][:2]) if points else None
    seen_before = f"clicked_{role}_{run.id}"
    if clicked is None or clicked == state.recall(seen_before):
        return
    state.remember(seen_before, clicked)
    layer, head = clicked
    for other, heads in sizes.items():
        here = max(1, round(layer * len(heads) / len(sizes[role])))
        state.remember(f"layer_{other}_{run.id}", here)
        state.remember(f"head_{other}_{run.id}", min(head, heads[here - 1]))


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

colours, tokens = theme(state.dark()), seen["teacher"].tokens
scores = student.card["scores"]
sides = {
    "teacher": f"**Teacher** {teacher.card['label']}, {teacher.bert.shape}",
    "student": f"**Student** {student.card['method']}, {student.bert.shape}; {scores['retained']:.1%} retained",
}
attention, lines, layers, blanks, tasks = st.tabs(["Attention", "Attention as lines", "Layers", "Fill in", "Tasks"])

with attention:
    st.caption(
        "Every head of every layer: a row of a square is the word that looks, a column the word looked at. "
        "Click a square to open that head in both models below."
    )
    for column, (role, words) in zip(st.columns(2, gap="large"), sides.items(), strict=True):
        with column:
            st.markdown(words)
            maps = seen[role].attentions  # (layer, head, pos, pos)
            event = st.plotly_chart(
                charts.mosaic(maps, role, colours),
                key=f"mosaic_{role}_{run.id}",
                theme=None,
                on_select="rerun",
                selection_mode="points",
                config={"displayModeBar": False},
                alt=f"Attention of the {role}: {maps.shape[0]} layers by {maps.shape[1]} heads.",
            )
            if len(set(seen[role].heads)) > 1:
                st.caption("Its layers have different numbers of heads: squares without a head are empty.")
            open_clicked(role, event.selection.points, {name: found.heads for name, found in seen.items()})
    opened = {}
    for column, role in zip(st.columns(2, gap="large"), sides, strict=True):
        with column:
            first, second = st.columns(2)
            layer = first.selectbox(
                f"Layer of the {role}", range(1, len(seen[role].heads) + 1), key=f"layer_{role}_{run.id}"
            )
            heads = seen[role].heads[layer - 1]
            if state.recall(f"head_{role}_{run.id}", 1) > heads:  # the layer before had more of them
                state.remember(f"head_{role}_{run.id}", heads)
            head = second.selectbox(f"Head of the {role}", range(1, heads + 1), key=f"head_{role}_{run.id}")
            opened[role] = (layer - 1, head - 1)
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
    st.caption(
        "The same attention drawn by bertviz, beginning with the head opened under Attention. Words on the left look "
        "at words on the right."
    )
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

with blanks:
    some = example.split()
    some[min(2, len(some) - 1)] = "[MASK]"
    show_fill_in(teacher, student, " ".join(some), run.id)

with tasks:
    show_tasks(teacher, student, run.id)
