"""Examine: teacher and student side by side, for a sentence that you type."""

import streamlit as st

from app.elements.shape_words import describe_shape
from app.elements.text import escape_markdown
from app.examine.ancestry.tab import show_ancestry
from app.examine.bertviz.tab import show_attention_lines
from app.examine.fill_in import hide_a_word, show_fill_in
from app.examine.film import show_film
from app.examine.head_roles import show_head_roles
from app.examine.heads import attention_page_button, show_heads, text_notices
from app.examine.inheritance import show_inheritance
from app.examine.interventions import show_interventions
from app.examine.layers import show_layers
from app.examine.model_pair import ModelPair
from app.examine.tasks import show_tasks
from app.session import caches
from app.session.browser import current_theme
from app.session.link import LONGEST_TEXT
from app.session.widgets import linked_text
from app.watch.run_choice import choose_run
from engine.teachers import catalog

st.title("Examine")
left, right = st.columns([1, 2])
with left:
    run = choose_run("Student", with_student=True, empty="There is no student to look at yet. Build one first.")
try:
    student = caches.student_model(run.student_dir)
    teacher_name = student.card["teacher"]
    teacher = caches.teacher_model(teacher_name)
except ValueError as error:
    st.error(escape_markdown(error), icon=":material/broken_image:")
    st.stop()
example = catalog.teacher_card(teacher_name, caches.RUNS).example
text = linked_text("Sentence", f"sentence_{teacher_name}", "text", example, place=right)
second = linked_text(
    "Second sentence, for a pair",
    f"second_{teacher_name}",
    "second",
    "",
    place=right,
    placeholder="empty: one sentence alone",
)
if max(len(text), len(second)) > LONGEST_TEXT:
    st.info("A text this long does not fit into the page's link; a reload forgets it.", icon=":material/link_off:")
seen = {}  # by "teacher" and "student"; empty where there is nothing to look at, and most tabs need no sentence
try:
    seen = {"teacher": caches.probe_text(teacher, text, second), "student": caches.probe_text(student, text, second)}
except ValueError as error:
    st.warning(escape_markdown(error), icon=":material/edit:")
for words in text_notices(seen) if seen else []:
    st.warning(words, icon=":material/info:")

colours = current_theme()
scores = student.card["scores"]
sides = {
    "teacher": f"**Teacher** {escape_markdown(str(teacher.card['label']))}, {describe_shape(teacher.bert.shape)}",
    "student": f"**Student** {escape_markdown(str(student.card['method']))}, {describe_shape(student.bert.shape)}; "
    f"{scores['retained']:.1%} retained",
}
pair = ModelPair(teacher, student, teacher_name, caches.student_version(run.student_dir))
blanked = hide_a_word(example)
TABS = ["Attention", "Attention as lines", "Inheritance", "Over time", "Ancestry", "Layers", "What heads do"]
attention, lines, inheritance, over_time, ancestry, layers, roles, intervene, blanks, tasks = st.tabs(
    [*TABS, "Intervene", "Fill in", "Tasks"], key="view", bind="query-params"
)

with attention:
    if seen:
        show_heads(seen, sides, run.id, colours)
        attention_page_button(seen, sides, f"{text} {second}".strip(), run.id)

with lines:
    if lines.open and seen:
        show_attention_lines(seen, sides)

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
        show_head_roles(pair)

with intervene:
    if intervene.open:
        show_interventions(pair, blanked, run.id, run.student_dir)

with blanks:
    show_fill_in(teacher, student, blanked, run.id)

with tasks:
    show_tasks(teacher, student, run.id)
