"""Layers: how far each moves its input, how alike the layers of two models are, and how alike neighbours' weights."""

from __future__ import annotations

import copy
import functools
from typing import TYPE_CHECKING, Any

import numpy as np
import streamlit as st

from app.elements.buttons import csv_button
from app.elements.figure import show_figure
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.elements.theme import Theme
from app.examine.charts import layer_lines
from app.examine.cka import show_cka, show_weights
from app.examine.labels import minus
from app.examine.model_pair import ROWS, ModelPair
from app.session import caches
from app.session.browser import current_theme
from app.session.link import set_link_value
from app.session.widget_values import persistent, start_from_link
from app.session.widgets import linked_choice
from engine.inspection.layer_similarity import layer_movement
from engine.sizing.shape import Shape
from engine.storage.runs import list_runs, open_run
from engine.teachers import catalog
from engine.text.token_store import CorpusError

if TYPE_CHECKING:
    from engine.model.saved_models import Model

MOST_MODELS = 6  # models in one chart
TEXTS = ("Held-out text", "The sentence above")
DEPTHS = ("Number", "Relative depth")
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
def show_layers(pair: ModelPair, text: str, run_id: str) -> None:
    """The tab. `text`: the sentence typed on the page."""
    colours = current_theme()
    _layer_distances(pair, text, run_id, colours)
    st.markdown("#### What layers hold: CKA")
    show_cka(pair, colours)
    st.markdown("#### Weights of neighbouring layers")
    show_weights(pair, colours)


def _layer_distances(pair: ModelPair, text: str, run_id: str, colours: Theme) -> None:
    """How far each layer of any set of models moves its input."""
    chosen = _choose_models(pair, run_id)
    left, right = st.columns(2)
    on_sentence = linked_choice("Text", TEXTS, "layer_text", place=left) == TEXTS[1]
    depth = linked_choice("Layers by", DEPTHS, "layer_depth", place=right)
    if on_sentence and not text.strip():
        st.info("There is no sentence above, so this is held-out text.", icon=":material/edit:")
        on_sentence = False
    distances: dict[str, dict[str, np.ndarray]] = {}
    shapes: dict[str, Shape] = {}
    other_corpora: dict[str, str] = {}  # of models that cannot read the student's text: what they read instead
    for name in chosen:
        try:
            model, key = _model_by_name(pair, name)
            distances[name], corpus = _distances(pair, model, key, text if on_sentence else "")
            if corpus not in ("", pair.corpus):
                other_corpora[name] = corpus
            shapes[name] = model.bert.shape
        except ValueError as error:  # TeacherError, RunError, CheckpointError, ProbeError, CorpusError
            st.warning(escape_markdown(f"{name}: {error}"), icon=":material/info:")
    if not distances:
        st.info("Choose at least one model.")
        return
    dashed = frozenset(name for name, shape in shapes.items() if shape.sharing != "none")
    for column, (measure, (title, unit, explanation)) in zip(st.columns(2, gap="large"), MEASURES.items(), strict=True):
        with column:
            st.markdown(f"**{title}** between each layer's input and output")
            values = {name: measures[measure] for name, measures in distances.items()}
            figure = layer_lines(values, title, colours, unit=unit, relative=depth == DEPTHS[1], dashed=dashed)
            alt = f"{title} per layer of {', '.join(distances)}."
            show_figure(figure, f"layers_{measure}", alt, csv_key="layer_steps_csv")
            st.caption(explanation)
    tokens = next(iter(distances.values()))["l2"].shape[1]
    st.caption(
        f"Line: mean over {tokens:,} tokens"
        + (" of this sentence" if on_sentence else f" of {ROWS} held-out rows of {escape_markdown(pair.corpus)}")
        + ", special ones too, padding not; band: one standard deviation. "
        + "".join(
            f"{name} does not speak its language and reads {escape_markdown(corpus)}. "
            for name, corpus in other_corpora.items()
        )
        + ("Dashed: layers that share weights. " if dashed else "")
        + "After ALBERT (arXiv 1909.11942), Figure 1, which sets shared layers against unshared ones."
    )
    _distance_table(distances, colours)


def _choose_models(pair: ModelPair, run_id: str) -> list[str]:
    """The names of the models in the charts; the link keeps them."""
    default, name = ["Teacher", "Student"], f"layer_models_{run_id}"
    every = [*default, *_other_models(pair, run_id)]

    def in_link(words: str) -> list[str] | None:
        return [model for model in every if model in words.split(",")][:MOST_MODELS] or None

    start_from_link(name, "models", default, in_link)
    chosen = st.multiselect(
        "Models",
        every,
        max_selections=MOST_MODELS,
        help="Any finished run, by its id, and the teachers that come with the project, by name.",
        **persistent(name, argument="default"),
    )
    set_link_value("models", "" if chosen == default else ",".join(chosen))
    return chosen


def _distance_table(distances: dict[str, dict[str, np.ndarray]], colours: Theme) -> None:
    """Mean and standard deviation over tokens: a row a layer, three columns a model."""
    head = ["layer"]
    rows = [[str(layer + 1)] for layer in range(max(len(measures["l2"]) for measures in distances.values()))]
    for name, measures in distances.items():
        head += [f"{name}, L2", f"{name}, cosine", f"{name}, angle"]
        for measure, unit, digits in (("l2", "", 2), ("cosine", "", 3), ("angle", "°", 1)):
            mean, spread = measures[measure].mean(1), measures[measure].std(1)
            for layer, row in enumerate(rows):
                has_layer = layer < len(mean)
                row.append(f"{minus(mean[layer], digits)}{unit} ± {spread[layer]:.{digits}f}" if has_layer else "")
    with st.expander("As a table: mean ± one standard deviation"):
        st.html(html_table(head, rows, colours))
        csv_button(head, rows, "layer-steps", "layer_steps_csv")


def _other_models(pair: ModelPair, run_id: str) -> list[str]:
    """Names of everything else that can be looked at: other runs' students, shipped teachers."""
    runs = [run.id for run in list_runs(caches.RUNS) if run.id != run_id and run.student_dir.exists()]
    return [*runs, *(name for name in catalog.TEACHERS if name != pair.teacher_key)]


def _model_by_name(pair: ModelPair, name: str) -> tuple[Model, str]:
    """The model called `name` on this tab, and its name in keys.

    Raises:
        ValueError: (TeacherError, RunError, CheckpointError) it cannot be had.
    """
    if name in pair.models:
        return pair.models[name], pair.result_key(name)
    if name in catalog.TEACHERS:
        return caches.teacher_model(name), name
    folder = open_run(caches.RUNS, name).student_dir
    return caches.student_model(folder), caches.student_version(folder)


def _distances(pair: ModelPair, model: Model, key: str, text: str) -> tuple[dict[str, np.ndarray], str]:
    """`layer_steps` over held-out text, or over `text`, and the name of the corpus, empty for `text`.

    The student's corpus for every model; one that does not speak its language reads its own.

    Raises:
        ValueError: (ProbeError, CorpusError) there is no text.
    """
    if text:
        return layer_movement(caches.probe_text(model, text).hidden), ""

    def make(corpus: str, length: int) -> dict[str, np.ndarray]:
        from engine.learning.held_out import held_out_rows, hidden_states

        with st.spinner("Reading held-out text"):
            rows = held_out_rows(corpus, model.tokenizer, min(length, model.bert.shape.positions), ROWS)
            states = hidden_states(copy.deepcopy(model.bert), rows, int(model.tokenizer.pad_token_id))
        return layer_movement(states)

    students = (pair.corpus, pair.length)
    try:
        return caches.compute_once(("steps", key, *students), functools.partial(make, *students)), pair.corpus
    except CorpusError:
        own = _corpus_of(model, key)
        if own[0] == pair.corpus:
            raise
        return caches.compute_once(("steps", key, *own), functools.partial(make, *own)), own[0]


def _corpus_of(model: Model, key: str) -> tuple[str, int]:
    """The corpus that a model knows, and how long its rows are."""
    card: dict[str, Any] = model.card
    if card.get("corpus"):
        return str(card["corpus"]), int(card.get("length") or 64)
    teacher = catalog.teacher_card(key, caches.RUNS)
    return teacher.corpus, teacher.length
