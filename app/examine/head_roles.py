"""What heads do: attention on gold relations of the microworld, and on simple positions of real text."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

from app.elements.buttons import csv_button
from app.elements.figure import show_figure
from app.elements.heatmaps import head_blocks
from app.elements.progress import progress_bar
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.elements.theme import Theme
from app.examine.charts import best_head_bars
from app.examine.labels import head_label, plus_minus
from app.examine.model_pair import ROWS, ModelPair
from app.session import caches
from app.session.browser import current_theme
from app.session.widgets import linked_choice
from engine.inspection.head_roles import (
    PATTERNS,
    BestHead,
    GoldAttention,
    best_head,
    gold_attention,
    gold_stories,
    positional_attention,
)
from engine.text.microworld import RELATIONS
from engine.text.token_store import CorpusError

HOVER = "%{customdata[0]}, layer %{customdata[1]}, head %{customdata[2]}"
STORIES, STORIES_HIDDEN = 300, 100  # a hidden word takes a pass of its own
MOST_UNKNOWN = 0.3  # of the stories' words; more, and the model does not speak the language


@st.fragment
def show_head_roles(pair: ModelPair) -> None:
    """The tab."""
    colours = current_theme()
    which = linked_choice("What to look for", ("Gold relations", "Positions"), "heads_of")
    if which == "Gold relations":
        _gold_relations(pair, colours)
    else:
        _positions(pair, colours)


def _gold_relations(pair: ModelPair, colours: Theme) -> None:
    unknown = _unknown_share(pair)
    if unknown > MOST_UNKNOWN:
        st.info(
            f"{unknown:.0%} of the words of the microworld's stories are unknown to this vocabulary. Gold relations "
            "are known for these stories only; look at positions instead.",
            icon=":material/translate:",
        )
        return
    st.caption(
        "The microworld is a generated language that says which word belongs to which. How much of each head's "
        "attention lands on the right word, in stories that no training has seen? Bare paper: 0%, full colour: 100%."
    )
    hide = st.toggle(
        "Hide the word that looks, as in training",
        key="heads_hidden",
        bind="query-params",
        help="It stands behind [MASK]: the model has to find out what it is, and needs the other word for it.",
    )
    found = {role: _gold_attention(pair, role, hide) for role in pair.models}
    for role, relations in found.items():
        st.markdown(f"**{role}**: layer by head, a block a relation")
        show_figure(
            head_blocks({name: gold.means for name, gold in relations.items()}, colours.role(role), colours, HOVER),
            f"gold_{role}",
            f"Attention of each of the {role.lower()}'s heads on the gold word of each relation.",
        )
    _best_heads(found, colours)
    stories = STORIES_HIDDEN if hide else STORIES
    st.caption(
        "; ".join(f"**{name}**: {about}" for name, about in RELATIONS.items())
        + f". {stories} held-out stories; the best head is chosen on every second one and measured, with its 95% "
        "interval over stories, on the others: measured where it was chosen, the best of many would look too good. "
        "Even: attention spread evenly over the other words of the story. Fixed distance: a head that always looks at "
        "the commonest distance, in words; a head that stays below it does less than that, grammar or not (Clark et "
        "al., arXiv 1906.04341). Words of several tokens count as one."
    )


def _best_heads(found: Mapping[str, Mapping[str, GoldAttention]], colours: Theme) -> None:
    """The best head of each model for each relation, beside its nulls. `found`: role -> relation -> attention."""
    candidates = {
        role: {name: best_head(gold) for name, gold in relations.items()} for role, relations in found.items()
    }
    names = [name for name in RELATIONS if all(heads.get(name) for heads in candidates.values())]
    if not names:
        return
    st.markdown("**The best head for each relation**")
    best: dict[str, dict[str, BestHead]] = {
        role: {name: head for name in names if (head := heads[name]) is not None} for role, heads in candidates.items()
    }
    show_figure(
        best_head_bars(best, colours),
        "gold_best",
        "The best head of teacher and student for each relation, with what nulls would reach.",
        csv_key="gold_csv",
    )
    columns = ["relation", "role", "best head", "attention, %", "even, %", "fixed distance, %", "distance", "cases"]
    rows = [
        [
            name,
            role,
            head_label(heads[name].layer, heads[name].head),
            f"{100 * heads[name].value:.1f}" + plus_minus(heads[name].interval),
            f"{100 * heads[name].uniform:.1f}",
            f"{100 * heads[name].at_offset:.1f}",
            f"{heads[name].offset:+d}".replace("-", "\N{MINUS SIGN}"),
            f"{heads[name].cases:,}",
        ]
        for name in names
        for role, heads in best.items()
    ]
    st.html(html_table(columns, rows, colours))
    csv_button(columns, rows, "gold-relations", "gold_csv")


def _unknown_share(pair: ModelPair) -> float:
    def make() -> float:
        words = [word for story in gold_stories(8) for word in story.words]
        tokenizer = pair.student.tokenizer
        ids = tokenizer(words, is_split_into_words=True)["input_ids"]
        return ids.count(tokenizer.unk_token_id) / max(1, len(words))

    return caches.compute_once(("unknown", pair.student_key), make)


def _gold_attention(pair: ModelPair, role: str, hide: bool) -> dict[str, GoldAttention]:
    def make() -> dict[str, GoldAttention]:
        with progress_bar(f"{role}: reading stories") as say:
            stories = gold_stories(STORIES_HIDDEN if hide else STORIES)
            found = gold_attention(pair.copy_of(role), pair.models[role].tokenizer, stories, hide, say)
        return {name: found[name] for name in RELATIONS if name in found}

    return caches.compute_once(("gold", pair.result_key(role), hide), make)


def _positions(pair: ModelPair, colours: Theme) -> None:
    st.caption(
        "Many heads do something plainer than grammar: they look at the token before, or at [SEP]. How much of each "
        "head's attention goes where, on held-out text? Bare paper: 0%, full colour: 100%."
    )
    try:
        found = {role: _positional_attention(pair, role) for role in pair.models}
    except CorpusError as error:
        st.warning(escape_markdown(error), icon=":material/info:")
        return
    for role, patterns in found.items():
        st.markdown(f"**{role}**: layer by head, a block a position")
        show_figure(
            head_blocks({name: values for name, (values, _) in patterns.items()}, colours.role(role), colours, HOVER),
            f"positions_{role}",
            f"Attention of each of the {role.lower()}'s heads on simple positions.",
        )
    head = ["position", "teacher's best", "attention, %", "student's best", "attention, %", "even, %"]
    lines = []
    for name, about in PATTERNS.items():
        line = [f"{name}: {about}"]
        for role in found:
            values, _ = found[role][name]
            layer, place = np.unravel_index(np.nanargmax(values), values.shape)
            line += [head_label(int(layer), int(place)), f"{100 * values[layer, place]:.1f}"]
        lines.append([*line, f"{100 * found['Teacher'][name][1]:.1f}"])
    st.html(html_table(head, lines, colours))
    csv_button(head, lines, "positions", "positions_csv")
    st.caption(
        f"Mean over the words of {ROWS} held-out rows of the student's corpus; special tokens are looked at, but do "
        "not look. Even: what attention spread evenly over all tokens of a row would give. The best of many heads is a "
        "little better here than it is."
    )


def _positional_attention(pair: ModelPair, role: str) -> dict[str, tuple[np.ndarray, float]]:
    def make() -> dict[str, tuple[np.ndarray, float]]:
        rows = pair.held_out_rows()
        with progress_bar(f"{role}: reading text") as say:
            return positional_attention(pair.copy_of(role), rows, pair.models[role].tokenizer, say)

    return caches.compute_once(("positions", pair.result_key(role), pair.student_key), make)
