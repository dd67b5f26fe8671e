"""Examine: teacher and student side by side, for a sentence that you type."""

import pandas as pd
import streamlit as st

from app import charts, state
from app.ancestry_view import show_ancestry
from app.attention_view import MAX_TOKENS, head_view_html
from app.fill_view import show_fill_in
from app.heads_view import show_heads
from app.intervene_view import show_intervene
from app.layers_view import show_layers
from app.pair import Pair
from app.run_choice import choose_run
from app.task_view import show_tasks
from app.theme import theme
from engine import teachers


def open_clicked(role: str, points: list[dict], sizes: dict[str, tuple[int, int]]) -> None:
    """Opens the head that was just clicked in the mosaic of `role`, and the one in its place in the other model.

    `sizes`: (layers, heads) of each model; a model with fewer layers opens the layer at the same relative depth.
    """
    clicked = tuple(points[-1]["customdata"][:2]) if points else None
    seen_before = f"clicked_{role}_{run.id}"
    if clicked is None or clicked == state.recall(seen_before):
        return
    state.remember(seen_before, clicked)
    layer, head = clicked
    for other, (layers, heads) in sizes.items():
        state.remember(f"layer_{other}_{run.id}", max(1, round(layer * layers / sizes[role][0])))
        state.remember(f"head_{other}_{run.id}", min(head, heads))


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
pair = Pair(teacher, student, teacher_name, state.newest(run.student_dir))
some = example.split()
some[min(2, len(some) - 1)] = "[MASK]"
blanked = " ".join(some)
TABS = ["Attention", "Attention as lines", "Ancestry", "Layers", "What heads do", "Intervene", "Fill in", "Tasks"]
attention, lines, ancestry, layers, roles, intervene, blanks, tasks = st.tabs(TABS, key="view", bind="query-params")

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
            open_clicked(
                role, event.selection.points, {name: found.attentions.shape[:2] for name, found in seen.items()}
            )
    opened = {}
    for column, role in zip(st.columns(2, gap="large"), sides, strict=True):
        with column:
            count, heads = seen[role].attentions.shape[:2]
            first, second = st.columns(2)
            layer = first.selectbox(f"Layer of the {role}", range(1, count + 1), key=f"layer_{role}_{run.id}")
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

with ancestry:
    if ancestry.open:
        show_ancestry(pair, run.student_dir)

with layers:
    if layers.open:
        show_layers(pair, text, run.id)

with roles:
    if roles.open:
        show_heads(pair)

with intervene:
    if intervene.open:
        show_intervene(pair, blanked, run.id, run.student_dir)

with blanks:
    show_fill_in(teacher, student, blanked, run.id)

with tasks:
    show_tasks(teacher, student, run.id)
