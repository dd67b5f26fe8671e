"""Examine: teacher and student side by side, for a sentence that you type."""

import streamlit as st

from app.elements.shape_words import build_words
from app.elements.text import plain
from app.elements.theme import theme
from app.examine.ancestry.heads import show_ancestry
from app.examine.bertviz.tab import show_lines
from app.examine.fill_in import show_fill_in, with_a_blank
from app.examine.film import show_film
from app.examine.head_roles import show_roles
from app.examine.heads import keep_page, notices, show_heads
from app.examine.inheritance import show_inheritance
from app.examine.interventions import show_intervene
from app.examine.layers import show_layers
from app.examine.pair import Pair
from app.examine.tasks import show_tasks
from app.session import caches as state
from app.session import widget_values as given
from app.watch.run_choice import choose_run
from engine.teachers import catalog as teachers

MOST_TYPED = 100_000  # letters; more than that a box swallows without a word

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
example = teachers.teacher_card(teacher_name, state.RUNS).example
keys = {"text": f"sentence_{teacher_name}", "second": f"second_{teacher_name}"}
for name, usual in (("text", example), ("second", "")):  # a link brings its sentences along
    given.begin(keys[name], name, usual)
text = right.text_input("Sentence", given.value_of(keys["text"]), MOST_TYPED, key=given.key(keys["text"]))
second = right.text_input(
    "Second sentence, for a pair",
    given.value_of(keys["second"]),
    MOST_TYPED,
    key=given.key(keys["second"]),
    placeholder="empty: one sentence alone",
)
state.keep_text("text", text, example)
state.keep_text("second", second, "")
if max(len(text), len(second)) > state.LONGEST:
    st.info("A text this long does not fit into the page's link; a reload forgets it.", icon=":material/link_off:")
seen = {}  # by "teacher" and "student"; empty where there is nothing to look at, and most tabs need no sentence
try:
    seen = {"teacher": state.look(teacher, text, second), "student": state.look(student, text, second)}
except ValueError as error:
    st.warning(str(error), icon=":material/edit:")
for words in notices(seen) if seen else []:
    st.warning(words, icon=":material/info:")

colours = theme(state.dark())
scores = student.card["scores"]
sides = {
    "teacher": f"**Teacher** {plain(str(teacher.card['label']))}, {build_words(teacher.bert.shape)}",
    "student": f"**Student** {plain(str(student.card['method']))}, {build_words(student.bert.shape)}; "
    f"{scores['retained']:.1%} retained",
}
pair = Pair(teacher, student, teacher_name, state.newest(run.student_dir))
blanked = with_a_blank(example)
TABS = ["Attention", "Attention as lines", "Inheritance", "Over time", "Ancestry", "Layers", "What heads do"]
attention, lines, inheritance, over_time, ancestry, layers, roles, intervene, blanks, tasks = st.tabs(
    [*TABS, "Intervene", "Fill in", "Tasks"], key="view", bind="query-params"
)

with attention:
    if seen:
        show_heads(seen, sides, run.id, colours)
        keep_page(seen, sides, f"{text} {second}".strip(), run.id)

with lines:
    if lines.open and seen:
        show_lines(seen, sides)

with inheritance:
    show_inheritance(teacher, student, run)

with over_time:
    show_film(run)

with ancestry:
    if ancestry.open:
        show_ancestry(pair, run.student_dir)

with layers:
    if layers.open:
        show_layers(pair, text, run.id)

with roles:
    if roles.open:
        show_roles(pair)

with intervene:
    if intervene.open:
        show_intervene(pair, blanked, run.id, run.student_dir)

with blanks:
    show_fill_in(teacher, student, blanked, run.id)

with tasks:
    show_tasks(teacher, student, run.id)
