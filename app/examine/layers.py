"""Layers: how far each moves its input, how alike the layers of two models are, and how alike neighbours' weights."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from app.elements.buttons import as_csv
from app.elements.figure import shown
from app.elements.tables import table
from app.elements.text import plain
from app.elements.theme import Theme, theme
from app.examine.charts import step_lines
from app.examine.pair import ROWS, Pair, minus
from app.session import caches as state
from app.session import widget_values as given
from engine.inspection.layer_similarity import layer_movement
from engine.storage.runs import list_runs
from engine.teachers import catalog as teachers
from engine.text.token_store import CorpusError

if TYPE_CHECKING:
    from engine.model.saved_models import Model

from app.examine.cka import show_cka, show_weights

MOST = 6  # models in one chart
TEXTS = ("Held-out text", "The sentence above")
MEASURES = {
    "l2": (
        "L2 distance",
        "",
        "How far a layer moves each token: the Euclidean distance between the layer's input and its output. It grows "
        "with the width of the model, so compare courses, not heights, between models of different width.",
    ),
    "angle": (
        "Angle",
        "°",
        "How far a layer turns each token: the angle between the layer's input and its output, the arc cosine of "
        "their cosine similarity. 0°: the direction stays; 90°: nothing of it is left.",
    ),
}


@st.fragment
def show_layers(pair: Pair, text: str, run_id: str) -> None:
    """The tab. `text`: the sentence typed on the page."""
    colours = theme(state.dark())
    _figure_one(pair, text, run_id, colours)
    st.markdown("#### What layers hold: CKA")
    show_cka(pair, colours)
    st.markdown("#### Weights of neighbouring layers")
    show_weights(pair, colours)


def _figure_one(pair: Pair, text: str, run_id: str, colours: Theme) -> None:
    others = _others(pair, run_id)
    usual, every, name = ["Teacher", "Student"], ["Teacher", "Student", *others], f"layer_models_{run_id}"
    given.begin(name, "models", usual, lambda said: [name for name in every if name in said.split(",")][:MOST] or None)
    chosen = st.multiselect(
        "Models",
        every,
        given.value_of(name),
        max_selections=MOST,
        key=given.key(name),
        help="Any finished run, by its id, and the teachers that come with the project, by name.",
    )
    state.set_link("models", "" if chosen == usual else ",".join(chosen))
    left, right = st.columns(2)
    where = left.segmented_control(
        "Text", TEXTS, default=TEXTS[0], required=True, key="layer_text", bind="query-params"
    )
    depth = right.segmented_control(
        "Layers by",
        ("Number", "Relative depth"),
        default="Number",
        required=True,
        key="layer_depth",
        bind="query-params",
    )
    steps: dict[str, dict[str, np.ndarray]] = {}
    shapes, seen_text = {}, text if where == TEXTS[1] else ""
    if where == TEXTS[1] and not text.strip():
        st.info("There is no sentence above, so this is held-out text.", icon=":material/edit:")
        seen_text = ""
    strangers: dict[str, str] = {}  # models that cannot read the student's text, and what they read instead
    for name in chosen:
        try:
            model, key = _model(pair, name)
            steps[name], corpus = _steps(pair, model, key, seen_text)
            if corpus not in ("", pair.corpus):
                strangers[name] = corpus
            shapes[name] = model.bert.shape
        except ValueError as error:  # TeacherError, RunError, CheckpointError, ProbeError, CorpusError
            st.warning(f"{name}: {error}", icon=":material/info:")
    if not steps:
        st.info("Choose at least one model.")
        return
    dashed = frozenset(name for name, shape in shapes.items() if shape.sharing != "none")
    for column, (measure, (title, unit, explanation)) in zip(st.columns(2, gap="large"), MEASURES.items(), strict=True):
        with column:
            st.markdown(f"**{title}** between each layer's input and output")
            values = {name: found[measure] for name, found in steps.items()}
            figure = step_lines(values, title, colours, unit=unit, relative=depth == "Relative depth", dashed=dashed)
            shown(figure, f"layers_{measure}", f"{title} per layer of {', '.join(steps)}.", beside="layer_steps_csv")
            st.caption(explanation)
    tokens = next(iter(steps.values()))["l2"].shape[1]
    st.caption(
        f"Line: mean over {tokens:,} tokens"
        + (" of this sentence" if seen_text else f" of {ROWS} held-out rows of {plain(pair.corpus)}")
        + ", special ones too, padding not; band: one standard deviation. "
        + "".join(
            f"{name} does not speak its language and reads {plain(corpus)}. " for name, corpus in strangers.items()
        )
        + ("Dashed: layers that share weights. " if dashed else "")
        + "After ALBERT (arXiv 1909.11942), Figure 1, which sets shared layers against unshared ones."
    )
    head = ["layer"]
    lines = [[str(layer + 1)] for layer in range(max(shape.layers for shape in shapes.values()))]
    for name, found in steps.items():
        head += [f"{name}, L2", f"{name}, cosine", f"{name}, angle"]
        means = [(found[measure].mean(1), found[measure].std(1)) for measure in ("l2", "cosine", "angle")]
        for layer, line in enumerate(lines):
            for (mean, spread), unit, digits in zip(means, ("", "", "°"), (2, 3, 1), strict=True):
                there = layer < len(mean)
                line.append(f"{minus(mean[layer], digits)}{unit} ± {spread[layer]:.{digits}f}" if there else "")
    with st.expander("As a table: mean ± one standard deviation"):
        st.html(table(head, lines, colours))
        as_csv(head, lines, "layer-steps", "layer_steps_csv")


def _others(pair: Pair, run_id: str) -> list[str]:
    """Names of everything else that can be looked at: other runs' students, shipped teachers."""
    runs = [run.id for run in list_runs(state.RUNS) if run.id != run_id and run.student_dir.exists()]
    return [*runs, *(name for name in teachers.TEACHERS if name != pair.teacher_key)]


def _model(pair: Pair, name: str) -> tuple[Model, str]:
    """The model called `name` on this tab, and its name in keys.

    Raises:
        ValueError: (TeacherError, RunError, CheckpointError) it cannot be had.
    """
    if name in pair.models:
        return pair.models[name], pair.key(name)
    if name in teachers.TEACHERS:
        return state.teacher_model(name), name
    from engine.storage.runs import open_run

    folder = open_run(state.RUNS, name).student_dir
    return state.student_model(folder), state.newest(folder)


def _steps(pair: Pair, model: Model, key: str, text: str) -> tuple[dict[str, np.ndarray], str]:
    """`layer_movement` over held-out text, or over `text`, and the name of the corpus, empty for `text`.

    The student's corpus for every model; one that does not speak its language reads its own.

    Raises:
        ValueError: (ProbeError, CorpusError) there is no text.
    """
    if text:
        return layer_movement(state.look(model, text).hidden), ""

    def make(corpus: str, length: int) -> dict[str, np.ndarray]:
        from engine.learning.held_out import held_out_rows, hidden_states

        with st.spinner("Reading held-out text"):
            rows = held_out_rows(corpus, model.tokenizer, min(length, model.bert.shape.positions), ROWS)
            states = hidden_states(copy.deepcopy(model.bert), rows, int(model.tokenizer.pad_token_id))
        return layer_movement(states)

    asked = (pair.corpus, pair.length)
    try:
        return state.computed(("steps", key, *asked), functools.partial(make, *asked)), pair.corpus
    except CorpusError:
        own = _text_of(model, key)
        if own[0] == pair.corpus:
            raise
        return state.computed(("steps", key, *own), functools.partial(make, *own)), own[0]


def _text_of(model: Model, key: str) -> tuple[str, int]:
    """The corpus that a model knows, and how long its rows are."""
    card: dict[str, Any] = model.card
    if card.get("corpus"):
        return str(card["corpus"]), int(card.get("length") or 64)
    known = teachers.teacher_card(key, state.RUNS)
    return known.corpus, known.length
