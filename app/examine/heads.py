"""Every head of teacher and student as a mosaic, and one of each large, with where they differ."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import streamlit as st

from app.elements.buttons import lazy_csv_button
from app.elements.figure import show_figure
from app.elements.text import list_words
from app.elements.theme import Theme
from app.examine import attention_charts
from app.session.browser import recall, remember
from app.session.link import link_value, set_link_value
from app.session.widget_values import persistent_choice, set_widget_value, widget_value

if TYPE_CHECKING:
    from engine.inspection.probe import Probe

SQUARE_HEIGHT = (1.0, -50)  # a square of tokens by tokens: the colour bar and its names take that much from its width


def show_heads(seen: Mapping[str, Probe], sides: Mapping[str, str], run_id: str, colours: Theme) -> None:
    """`seen`: by "teacher" and "student"; `sides`: what stands above each. The same tokens for both."""
    st.caption(
        "Every head of every layer: a row of a square is the word that looks, a column the word looked at. Both models "
        "are drawn on one scale, from paper (0%) to full colour (100% of a word's attention). Click a square to open "
        "that head in both models below, or choose it there with the keyboard."
    )
    for column, (role, words) in zip(st.columns(2, gap="large"), sides.items(), strict=True):
        with column:
            st.markdown(words)
            maps = seen[role].attentions  # (layer, head, pos, pos)
            aspect = maps.shape[0] / maps.shape[1]
            event = show_figure(
                attention_charts.attention_mosaic(maps, role, colours),
                key=f"mosaic_{role}_{run_id}",
                on_select="rerun",
                selection_mode="points",
                alt=f"Attention of the {role}: {maps.shape[0]} layers by {maps.shape[1]} heads.",
                csv_key=f"mosaic_csv_{role}_{run_id}",
                narrow_height=(aspect, round(62 - 50 * aspect)),
            )
            attention_csv_button(seen[role], role, run_id)
            if len(set(seen[role].heads)) > 1:
                st.caption("Its layers have different numbers of heads: squares without a head are empty.")
            _open_clicked_head(
                role, event.selection.points, {name: found.heads for name, found in seen.items()}, run_id
            )
    _open_heads_in_link(seen, run_id)
    _show_open_heads(seen, run_id, colours)


def attention_csv_button(found: Probe, role: str, run_id: str) -> None:
    """A button that saves every number of a mosaic."""

    def lines() -> Iterator[list[object]]:
        for layer, heads in enumerate(found.heads):
            for head in range(heads):
                for source, row in enumerate(found.attentions[layer, head]):
                    for target, share in enumerate(row):
                        yield [
                            layer + 1, head + 1, source, found.tokens[source], target, found.tokens[target],
                            f"{share:.4f}",
                        ]  # fmt: skip

    head = ["layer", "head", "from", "token", "to", "token looked at", "attention"]
    lazy_csv_button(head, lines, f"{run_id}-{role}-attention", f"mosaic_csv_{role}_{run_id}")


def attention_page_button(seen: Mapping[str, Probe], sides: Mapping[str, str], text: str, run_id: str) -> None:
    """A button that saves what `show_heads` shows as one page that needs no network."""
    from engine.reports.attention_page import ModelAttention, attention_page

    def page() -> str:
        names = {role: words.replace("**", "").replace("\\", "") for role, words in sides.items()}
        looks = [ModelAttention(role, names[role], found.tokens, found.attentions) for role, found in seen.items()]
        return attention_page(looks, text, [note.replace("\\", "") for note in text_notices(seen)])  # no markdown there

    st.download_button(
        "This attention as a page",
        page,
        f"{run_id}-attention.html",
        "text/html",
        icon=":material/download:",
        on_click="ignore",
        help="One HTML file to hand in or to show: all heads, any pair of them large, no network needed.",
    )


def text_notices(seen: Mapping[str, Probe]) -> list[str]:
    """What a person should know of the text that was looked at, one warning each."""
    teacher, student = seen["teacher"], seen["student"]
    if teacher.tokens != student.tokens:
        return [
            "The student's vocabulary is not the teacher's: the two see other tokens, so their maps cannot be laid on "
            "one another, and the difference is left out."
        ]
    notices = []
    if teacher.unknown:
        if teacher.only_unknown:
            notices.append("The teacher's vocabulary knows none of these words: both models see nothing but [UNK].")
        else:
            notices.append(
                f"The teacher's vocabulary does not have: {list_words(teacher.unknown)}. These words appear as [UNK]."
            )
    if teacher.cut:
        notices.append(f"The text is long: {teacher.cut:,} of its tokens were left out at the end.")
    for role, found in seen.items():
        if not found.told_apart:
            notices.append(f"The {role} has no token types, so it cannot tell the two sentences apart by them.")
    return notices


def _open_heads_in_link(seen: Mapping[str, Probe], run_id: str) -> None:
    """Opens the heads that the page's link names, once: ?heads=2.1-1.3 is layer 2, head 1 of the teacher and so on."""
    if recall(f"heads_linked_{run_id}"):
        return
    remember(f"heads_linked_{run_id}", True)
    found = re.fullmatch(r"(\d{1,3})\.(\d{1,3})-(\d{1,3})\.(\d{1,3})", link_value("heads"))
    if not found:
        return
    numbers = [int(number) for number in found.groups()]
    for role, layer, head in zip(("teacher", "student"), numbers[::2], numbers[1::2], strict=True):
        heads = seen[role].heads
        if 1 <= layer <= len(heads) and 1 <= head <= heads[layer - 1]:
            set_widget_value(f"layer_{role}_{run_id}", layer)
            set_widget_value(f"head_{role}_{run_id}", head)


def _show_open_heads(seen: Mapping[str, Probe], run_id: str, colours: Theme) -> None:
    """One head of each model large, and below them the difference between the two."""
    maps: dict[str, np.ndarray] = {}
    chosen = []
    for column, role in zip(st.columns(2, gap="large"), ("teacher", "student"), strict=True):
        with column:
            probe = seen[role]
            left_half, right_half = st.columns(2)
            count = len(probe.heads)
            layer = _choose_number(left_half, "Layer", role, count, run_id)
            heads = probe.heads[layer - 1]
            head = _choose_number(right_half, "Head", role, heads, run_id)
            chosen.append(f"{layer}.{head}")
            maps[role] = probe.attentions[layer - 1, head - 1]
            show_figure(
                attention_charts.attention_heatmap(maps[role], probe.tokens, role, colours, probe.second),
                key=f"one_{role}",
                alt=f"Attention of the {role}'s layer {layer}, head {head}.",
                narrow_height=SQUARE_HEIGHT,
            )
            with st.expander("As a table"):
                _attention_table(maps[role], probe.tokens)
    set_link_value("heads", "" if chosen == ["1.1", "1.1"] else "-".join(chosen))
    tokens = seen["teacher"].tokens
    if tokens != seen["student"].tokens:
        return
    left, right = st.columns(2, gap="large")
    difference = maps["student"] - maps["teacher"]
    with left:
        show_figure(
            attention_charts.attention_difference(
                maps["student"], maps["teacher"], tokens, colours, seen["teacher"].second
            ),
            key="difference",
            alt="Attention of the student's head less that of the teacher's.",
            narrow_height=SQUARE_HEIGHT,
        )
    with right:
        st.markdown(
            "**Difference of the two heads above**: where the student looks :orange[more] or :blue[less] than the "
            "teacher, in points of a hundred."
        )
        st.caption(
            f"On average a word of the student's moves {50 * np.abs(difference).sum(-1).mean():.0f} of 100 points of "
            "its attention elsewhere. Heads in the same place need not be each other's: Inheritance says which are."
        )
        with st.expander("As a table"):
            _attention_table(difference, tokens)


def _choose_number(place: Any, noun: str, role: str, most: int, run_id: str) -> int:
    """A choice among `most` layers or heads; one above (the layer before had more heads) becomes the last."""
    name = f"{noun.lower()}_{role}_{run_id}"
    if widget_value(name, 1) > most:
        set_widget_value(name, most)
    return place.selectbox(f"{noun} of the {role}", **persistent_choice(name, range(1, most + 1), 1))


def _attention_table(grid: np.ndarray, tokens: Sequence[str]) -> None:
    """Attention (pos, pos) with its words."""
    names = [f"{place} {token}" for place, token in enumerate(tokens)]
    st.dataframe(pd.DataFrame(grid.round(3), names, names))


def _open_clicked_head(role: str, points: list[dict], sizes: Mapping[str, tuple[int, ...]], run_id: str) -> None:
    """Opens the head that was just clicked in the mosaic of `role`, and the one in its place in the other model.

    `sizes`: the heads of each layer of each model; one with fewer layers opens the layer at the same relative depth.
    """
    clicked = tuple(points[-1]["customdata"][:2]) if points else None
    seen_before = f"clicked_{role}_{run_id}"
    if clicked is None or clicked == recall(seen_before):
        return
    remember(seen_before, clicked)
    layer, head = clicked
    for other, heads in sizes.items():
        here = max(1, round(layer * len(heads) / len(sizes[role])))
        set_widget_value(f"layer_{other}_{run_id}", here)
        set_widget_value(f"head_{other}_{run_id}", min(head, heads[here - 1]))
