"""Intervene: a head switched off or made even, and what becomes of predictions, loss and the heads above."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st

from app.elements.figure import show_figure
from app.elements.heatmaps import heatmap
from app.elements.shape_words import describe_sharing
from app.elements.text import escape_markdown
from app.elements.theme import Theme
from app.elements.tiles import tile_row
from app.examine.ancestry.lineage import read_student_lineage
from app.examine.fill_in import show_candidates, warn_of_unknown
from app.examine.head_ablation import show_ranking
from app.examine.labels import head_label, head_names, signed
from app.examine.model_pair import ModelPair
from app.session import caches
from app.session.browser import current_theme
from app.session.link import set_link_value
from app.session.widget_values import persistent, start_from_link
from app.session.widgets import linked_choice, linked_text
from engine.inspection.probe import ProbeError
from engine.text.token_store import CorpusError

CHANGES = {"off": "Off", "uniform": "Uniform"}
CANDIDATES = 5  # of each blank
MOST_TRIED = 80  # heads; each is tried on one sentence, which takes milliseconds
MOST_BLANKS = 4  # tables; a sentence may have more


@st.fragment
def show_interventions(pair: ModelPair, start: str, run_id: str, folder: Path) -> None:
    """The tab. `start`: a sentence with a blank to begin with; `folder`: of the student."""
    colours = current_theme()
    st.caption(
        "Take a head away, or let it look everywhere alike, and see what the model loses. Off: the head brings "
        "nothing. Uniform: it brings the mean of all tokens, as if it could not tell where to look."
    )
    for role, model in pair.models.items():
        if model.bert.head is None:
            st.info(
                f"The {role.lower()} has no masked-LM head: it learned a task and was never asked for a word, so there "
                "is no loss that a head could be missed by.",
                icon=":material/block:",
            )
            return
    if sharing := [f"the {role.lower()}'s {words}" for role, words in _sharing_by_role(pair).items()]:
        st.caption(
            f"Here {' and '.join(sharing)}. A head is changed in the layers that you choose and nowhere else: the same "
            "weights go on working in the others."
        )
    left, right = st.columns(2)
    role = linked_choice("Model", ("Teacher", "Student"), "intervene_role", default="Student", place=left)
    how = linked_choice("Heads become", list(CHANGES), "intervene_how", place=right, format_func=CHANGES.__getitem__)
    _before_and_after(pair, role, how, start, run_id, folder, colours)
    st.markdown("#### Which heads are missed?")
    show_ranking(pair, how, folder, colours)


def _before_and_after(
    pair: ModelPair, role: str, how: str, start: str, run_id: str, folder: Path, colours: Theme
) -> None:
    """Choice of heads and sentence, and what changes: the loss, the candidates of each blank, attention above."""
    heads = _choose_heads(pair, role, start, run_id)
    text = linked_text("Sentence with a [MASK]", f"intervene_text_{run_id}", "cut", start)
    relatives = _relatives(pair, role, heads, folder)
    if relatives:
        st.caption(relatives)
    model = pair.models[role]
    try:
        before, after = caches.fill_blanks(model, text), caches.fill_blanks_intervened(model, text, heads, how)
        probes = caches.probe_text(model, text), caches.probe_text_intervened(model, text, heads, how)
    except ProbeError as error:
        st.warning(escape_markdown(error), icon=":material/edit:")
        return
    try:
        _loss_tiles(pair, role, heads, how)
    except CorpusError as error:
        st.warning(escape_markdown(error), icon=":material/info:")
    warn_of_unknown(before)
    for blank in range(min(MOST_BLANKS, len(before.blanks))):
        st.markdown(f"**Blank {blank + 1}**" if len(before.blanks) > 1 else "**The blank**")
        left, right = st.columns(2, gap="large")
        for column, when, filled in ((left, "Before", before), (right, "After", after)):
            show_candidates(column, filled, blank, CANDIDATES, (when, role), f"intervene_{when}_{blank}_{run_id}")
    if len(before.blanks) > MOST_BLANKS:
        st.caption(f"Tables of the first {MOST_BLANKS} blanks; the sentence has {len(before.blanks)}.")
    _show_downstream(probes, heads, role, colours)


def _choose_heads(pair: ModelPair, role: str, start: str, run_id: str) -> list[tuple[int, int]]:
    """The (layer, head) that a person chooses; `start`: the sentence whose blank decides which they begin with."""
    from engine.inspection.interventions import all_heads

    by_name = {head_label(layer, head): (layer, head) for layer, head in all_heads(pair.models[role].bert)}
    default, name = _heads_to_begin_with(pair, role, start, by_name), f"intervene_heads_{role}_{run_id}"
    start_from_link(name, "changed", default, lambda words: _heads_in_link(words, role, by_name))
    chosen = st.multiselect(
        f"Heads of the {role.lower()}",
        list(by_name),
        help="As many as you like, all at the same time. It begins with what the first blank below misses most.",
        **persistent(name, argument="default"),
    )
    places = "-".join(f"{by_name[label][0] + 1}.{by_name[label][1] + 1}" for label in chosen)
    set_link_value("changed", "" if chosen == default else f"{role.lower()}-{places}")
    return [by_name[label] for label in chosen]


def _loss_tiles(pair: ModelPair, role: str, heads: list[tuple[int, int]], how: str) -> None:
    """The loss on held-out rows before and after.

    Raises:
        CorpusError: the held-out text is not on this machine.
    """
    loss, loss_after, interval, right, right_after = _losses(pair, role, heads, how)
    width = "" if math.isnan(interval) else f" ± {interval:.3f}"  # a single row tells none
    tile_row(
        [
            ("Loss before", f"{loss:.3f}", "nats a hidden word"),
            ("Loss after", f"{loss_after:.3f}", f"{signed(loss_after - loss)}{width}"),
            ("Right words", f"{100 * right_after:.1f}%", f"before {100 * right:.1f}%"),
        ]
    )
    st.caption(
        f"Over {pair.ranking_rows} held-out rows, the same hidden words before and after; ±: half the 95% interval "
        "of the change, rows being what was drawn."
    )


def _heads_in_link(words: str, role: str, by_name: dict[str, tuple[int, int]]) -> list[str] | None:
    """The heads that a link names, such as student-2.1-3.4 (layer 2, head 1 and so on); None: not of this model."""
    whose, *places = words.split("-")
    found = [name for name, (layer, head) in by_name.items() if f"{layer + 1}.{head + 1}" in places]
    return found if whose == role.lower() else None


def _sharing_by_role(pair: ModelPair) -> dict[str, str]:
    """In words, of each model whose layers share their attention weights: how."""
    shapes = {role: model.bert.shape for role, model in pair.models.items()}
    return {role: describe_sharing(shape) for role, shape in shapes.items() if shape.shares("attention")}


def _heads_to_begin_with(pair: ModelPair, role: str, text: str, names: dict[str, tuple[int, int]]) -> list[str]:
    """The head whose absence changes the first blank of `text` most; one of the last layer with the best below it.

    So both can be seen at once, what a head is missed for and what it does to the heads above. The first head of a
    model of very many.
    """
    last = pair.models[role].bert.shape.layers - 1

    def make() -> list[str]:
        before = caches.fill_blanks(pair.models[role], text).probabilities[0]

        def moved_by(name: str) -> float:
            after = caches.fill_blanks_intervened(pair.models[role], text, [names[name]], "off").probabilities[0]
            return float(np.abs(after - before).sum())

        ranked = sorted(names, key=moved_by, reverse=True)
        heads = ranked[:1]
        if names[heads[0]][0] == last:
            heads += [name for name in ranked if names[name][0] < last][:1]
        return heads

    if len(names) > MOST_TRIED:
        return list(names)[:1]
    try:
        return list(caches.compute_once(("first heads", pair.result_key(role), text), make))
    except ProbeError:
        return list(names)[:1]


def _relatives(pair: ModelPair, role: str, heads: list[tuple[int, int]], folder: Path) -> str:
    """In words: the heirs of the teacher's `heads`, or the chief ancestors of the student's; empty: none are known."""
    try:
        lineage = read_student_lineage(pair, folder)
    except ValueError:  # said below, where all heads are ranked
        lineage = None
    if lineage is None or not heads:
        return ""
    relatives = []
    for layer, origin in enumerate(lineage.layers):
        for head, row in enumerate(lineage.head_shares(layer)):
            chief = (origin, int(row.argmax()))
            own, other = ((layer, head), chief) if role == "Student" else (chief, (layer, head))
            if own in heads:
                relatives.append(f"{head_label(*other)} ({row.max():.0%})")
    who = "Chief ancestors in the teacher" if role == "Student" else "Heirs in the student"
    return (
        f"{who}: {'; '.join(relatives)}."
        if relatives
        else "No head of the student has one of these as its chief ancestor."
    )


def _losses(pair: ModelPair, role: str, heads: list[tuple[int, int]], how: str) -> tuple[float, ...]:
    """(loss before, after, half the interval of the change, share right before, after) over held-out rows."""

    def make() -> tuple[float, ...]:
        from engine.inspection.interventions import intervened, masked_word_losses
        from engine.learning.held_out import masked_batches
        from engine.learning.intervals import clustered_interval

        bert, batches = (
            pair.copy_of(role),
            masked_batches(pair.held_out_rows(pair.ranking_rows), pair.student.tokenizer),
        )
        loss, right, row = masked_word_losses(bert, batches)
        with intervened(bert, heads, how):
            loss_after, right_after, _ = masked_word_losses(bert, batches)
        width = clustered_interval(loss_after - loss, row)
        interval = math.nan if width is None else width
        return tuple(map(float, (loss.mean(), loss_after.mean(), interval, right.mean(), right_after.mean())))

    return caches.compute_once(("losses", pair.result_key(role), pair.student_key, tuple(sorted(heads)), how), make)


def _show_downstream(looks: tuple[Any, Any], heads: list[tuple[int, int]], role: str, colours: Theme) -> None:
    """How far the attention of the heads above has moved in this sentence."""
    from engine.inspection.interventions import attention_shift

    before, after = looks
    first = min((layer for layer, _ in heads), default=0)
    layers = len(before.attentions)
    if not heads or first >= layers - 1:
        st.caption(
            "Downstream: no layer lies above the chosen heads, so no other head's attention can change."
            if heads
            else "No head is chosen, so nothing changes."
        )
        return
    moves = attention_shift(before.attentions, after.attentions)[first + 1 :]
    st.markdown(
        "**What it does downstream**: how far the attention of the heads in the layers above moves in this sentence, "
        "though nobody touched them"
    )
    show_figure(
        heatmap(
            moves,
            [f"layer {layer + 1}" for layer in range(first + 1, layers)],
            head_names(moves.shape[1]),
            ("", ""),
            colours.role(role),
            colours,
            hover="%{y}, %{x}",
            limits=(0.0, max(0.05, float(np.nanmax(moves)))),
            unit="",
            number_format=".3f",
        ),
        "intervene_downstream",
        f"How far the attention of the {role.lower()}'s later heads moves.",
    )
    st.caption(
        "A cell is one of these heads: the Jensen-Shannon divergence, in bits, between where it looks with the chosen "
        "heads and without them, the mean over the tokens that look. 0: it looks where it looked before; 1: at "
        "altogether other tokens."
    )
