"""How alike the layers of two models are: what they hold, by CKA, and the weights of neighbours."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping

import numpy as np
import streamlit as st

from app.elements.buttons import csv_button
from app.elements.figure import show_figure
from app.elements.heatmaps import common_limits, heatmap
from app.elements.shape_words import describe_sharing
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.elements.theme import Theme
from app.examine.labels import interval_text, minus
from app.examine.model_pair import ModelPair
from app.session import caches
from app.session.widgets import linked_choice
from engine.inspection.layer_similarity import LayerCka, linear_cka
from engine.inspection.probe import ProbeError
from engine.text.token_store import CorpusError

WEIGHT_MEASURES = {"cosine": "Cosine", "relative": "Relative L2", "l2": "L2"}


def show_cka(pair: ModelPair, colours: Theme) -> None:
    """Draws CKA between all layers of both models."""
    if not pair.same_vocabulary:
        st.info("Teacher and student cut text into different tokens, so their layers cannot be compared.")
        return
    try:
        found, null = _cka_and_null(pair)
    except (CorpusError, ProbeError) as error:
        st.warning(escape_markdown(error), icon=":material/info:")
        return
    teacher_names, student_names = (
        ["embeddings", *(f"layer {layer + 1}" for layer in range(count - 1))] for count in found.values.shape
    )
    left, right = st.columns([3, 2], gap="large")
    with left:
        show_figure(
            heatmap(
                found.values,
                teacher_names,
                student_names,
                ("teacher", "student"),
                colours.student,
                colours,
                hover="teacher's %{y} and student's %{x}",
                height=min(640, 150 + 40 * len(teacher_names)),
            ),
            "layers_cka",
            "CKA between every layer of the teacher and every layer of the student.",
        )
    rows = []
    for layer, origin in enumerate([-1, *pair.layer_map()]):
        place = (origin + 1, layer)
        rows.append(
            [
                student_names[layer],
                teacher_names[origin + 1],
                f"{found.values[place]:.3f}",
                interval_text(found.low[place], found.high[place], 3),
                minus(null.values[place], 3),
            ]
        )
    with right:
        head = ["student's", "teacher's", "CKA", "95% interval", "untrained"]
        st.html(html_table(head, rows, colours, "Each layer and the one that it comes from"))
        csv_button(head, rows, "cka", "layers_cka_csv")
    st.caption(
        f"Linear CKA (arXiv 1905.00414) over {found.tokens:,} tokens of held-out text: 1 if two layers hold the same "
        "up to rotation and scale, 0 if they have nothing in common; widths need not be equal. The unbiased estimator, "
        "HSIC averaged over minibatches before the ratio (arXiv 2010.15327); its interval takes minibatches as what "
        "was drawn (jackknife). Untrained: the same with a model of the student's shape whose weights are random. It "
        "is far from 0, because words alone make states alike."
    )


def _cka_and_null(pair: ModelPair) -> tuple[LayerCka, LayerCka]:
    def make() -> tuple[LayerCka, LayerCka]:
        from engine.learning.held_out import hidden_states
        from engine.model.bert import new_bert

        bar = st.progress(0.0, "Hidden states of the teacher")
        teacher = pair.hidden_states("Teacher")
        bar.progress(0.3, "Hidden states of the student")
        student = pair.hidden_states("Student")
        bar.progress(0.5, "Comparing layers")
        found = linear_cka(teacher, student)
        bar.progress(0.8, "The same with an untrained student")
        untrained = hidden_states(new_bert(pair.student.bert.shape, seed=0), pair.held_out_rows(), pair.pad_token_id)
        null = linear_cka(teacher, untrained)
        bar.empty()
        return found, null

    return caches.compute_once(("cka", pair.teacher_key, pair.student_key), make)


def show_weights(pair: ModelPair, colours: Theme) -> None:
    """Draws how far apart the weights of neighbouring layers are, for both models."""
    from engine.inspection.weight_distances import KINDS, weight_distances

    measure = linked_choice("Measure", list(WEIGHT_MEASURES), "weight_measure", format_func=WEIGHT_MEASURES.__getitem__)
    found = {
        role: caches.compute_once(("weights", pair.result_key(role)), functools.partial(weight_distances, model.bert))
        for role, model in pair.models.items()
    }
    if not any(steps[measure].size for steps in found.values()):
        st.info("Both models have one layer, so no layer has a neighbour.")
        return
    limits = common_limits(*(steps[measure] for steps in found.values() if steps[measure].size))
    for column, (role, steps) in zip(st.columns(2, gap="large"), found.items(), strict=True):
        with column:
            sharing = describe_sharing(pair.models[role].bert.shape)
            st.markdown(f"**{role}**" + (f": {sharing}" if sharing else ""))
            if not steps[measure].size:
                st.caption("One layer: no neighbour.")
                continue
            figure = heatmap(
                steps[measure],
                list(KINDS),
                _neighbours(steps[measure].shape[1]),
                ("", "layers"),
                colours.role(role),
                colours,
                hover="%{y}, layers %{x}",
                limits=(-1.0, 1.0) if measure == "cosine" else limits,
                number_format=".2f" if measure != "l2" else ".1f",
            )
            alt = f"{WEIGHT_MEASURES[measure]} between the weights of neighbouring layers of the {role.lower()}."
            show_figure(figure, f"weights_{role}", alt, csv_key="weights_csv")
    _weight_table(found, KINDS, colours)
    st.caption(
        "Of the weight matrices of two neighbouring layers, entry by entry: L2 is the Euclidean distance; relative L2 "
        "divides it by the root mean square of the two norms (0: equal, about 1.41: unrelated); cosine takes both as "
        "vectors (1: equal up to scale, 0: unrelated). Layers that share their weights are at distance 0. Neurons have "
        "no natural order, so layers with unrelated weights may still do alike things: that is what CKA shows."
    )


def _neighbours(count: int) -> list[str]:
    """The names of the first `count` pairs of neighbouring layers."""
    return [f"{layer + 1}-{layer + 2}" for layer in range(count)]


def _weight_table(found: Mapping[str, Mapping[str, np.ndarray]], kinds: Iterable[str], colours: Theme) -> None:
    """Every measure of both models. `found`: role -> measure -> (kind of weights, pair of layers)."""
    head = ["weights", "layers"]
    head += [f"{role}, {name.lower()}" for role in found for name in WEIGHT_MEASURES.values()]
    deepest = max(steps["l2"].shape[1] for steps in found.values())
    rows = [
        [
            kind,
            neighbours,
            *(
                minus(steps[name][row, layer], 3) if layer < steps[name].shape[1] else ""
                for steps in found.values()
                for name in WEIGHT_MEASURES
            ),
        ]
        for row, kind in enumerate(kinds)
        for layer, neighbours in enumerate(_neighbours(deepest))
    ]
    with st.expander("As a table"):
        st.html(html_table(head, rows, colours))
        csv_button(head, rows, "weights-of-neighbours", "weights_csv")
