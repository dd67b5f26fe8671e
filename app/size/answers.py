"""The answer of the size page: numbers, bars and a table of the models side by side; and how to keep them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

from app.elements.bars import Bar, highlight_style, part_label, stacked_bars
from app.elements.buttons import copy_link_page
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.elements.tiles import tile_row
from app.session.browser import current_theme
from app.size.comparison_state import (
    change_comparison,
    change_field,
    chosen_configuration,
    controlled,
    link_problems,
)
from engine.settings.amounts import format_number
from engine.sizing.comparison import Comparison
from engine.sizing.comparison_export import to_csv, to_json
from engine.sizing.cost import parameters, parameters_by_part
from engine.sizing.footprint import PRECISIONS, executed_by_part, flops, stored_bytes
from engine.sizing.presets import published_counts
from engine.sizing.shape import Shape, ShapeError, nearest_divisors
from engine.sizing.tensors import PARTS

TERM_KEY = "size_term"  # the prefix of the formula's containers


@dataclass(frozen=True)
class SizedModel:
    """A configuration whose numbers fit together."""

    name: str
    shape: Shape
    colour: str
    index: int  # in the comparison


def show_answer(comparison: Comparison) -> list[SizedModel]:
    """Draws the numbers; the models whose numbers fit together, in their order. Others are explained."""
    _warn_of_link_problems()
    colours = current_theme()
    models = []
    for index, configuration in enumerate(comparison.configurations):
        try:
            models.append(SizedModel(configuration.name, configuration.shape, colours.model(index), index))
        except ShapeError as error:
            _explain_misfit(configuration.name, error, index == comparison.chosen)
    if models:
        _answer_tiles(comparison, models)
    return models


def show_details(comparison: Comparison, models: Sequence[SizedModel]) -> None:
    """Draws the bars and the table of all models side by side, and the ways to keep them."""
    colours = current_theme()
    bars = [Bar(model.name, model.colour, parameters_by_part(model.shape)) for model in models]
    st.html(stacked_bars(bars, colours) + highlight_style(PARTS, comparison.part, TERM_KEY))
    _part_pills(comparison, models)
    st.html(_comparison_table(models))
    _export_buttons(models)


def _warn_of_link_problems() -> None:
    problems = link_problems()
    if problems:
        words = " ".join(escape_markdown(problem) for problem in problems)
        st.warning(f"Not everything in this link makes sense, and a default stands in its place. {words}")


def _explain_misfit(name: str, error: ShapeError, chosen: bool) -> None:
    """Why there is no such model, and what would do."""
    st.error(f"**{escape_markdown(name)}:** {escape_markdown(str(error))}", icon=":material/rule:")
    if not chosen:
        return
    fields = chosen_configuration().fields
    hidden, heads = fields["hidden"], fields["heads"]
    if fields["head_dim"] is None and hidden > 0 and heads > 0 and hidden % heads:
        with st.container(horizontal=True):
            for divisor in nearest_divisors(hidden, heads):
                st.button(f"Use {divisor:,} heads", on_click=change_field, args=("heads", divisor))
            width = hidden - hidden % heads
            if width:
                st.button(f"Use width {width:,}", on_click=change_field, args=("hidden", width))


def _answer_tiles(comparison: Comparison, models: Sequence[SizedModel]) -> None:
    teacher = models[0]
    chosen = next((model for model in models if model.index == comparison.chosen), teacher)
    count, teacher_count = parameters(chosen.shape), parameters(teacher.shape)
    tokens = min(comparison.tokens, chosen.shape.positions, teacher.shape.positions)
    work = flops(chosen.shape, tokens) / flops(teacher.shape, tokens)
    tiles = [
        (
            escape_markdown(chosen.name),
            _tile_count(count),
            f"{format_number(stored_bytes(chosen.shape, 'float32'), 'B')} in float32",
        ),
        (
            escape_markdown(teacher.name),
            _tile_count(teacher_count),
            f"{format_number(stored_bytes(teacher.shape, 'float32'), 'B')} in float32",
        ),
        (
            "Compression",
            f"{teacher_count / count:,.2f}×",
            "fewer parameters" if count < teacher_count else "of the teacher's",
        ),
        (f"FLOPs, {tokens:,} tokens", f"{work:,.1%}", "of the teacher's"),
    ]
    tile_row(tiles)
    with st.container(key="size_now"):
        st.html(_sticky_answer(chosen, f"{_tile_count(count)} parameters, {teacher_count / count:,.2f}×"))


def _sticky_answer(model: SizedModel, text: str) -> str:
    """On a phone, the answer on a line that stays in sight while the controls below it are moved."""
    colours = current_theme()
    return (
        "<style>@media(min-width:641px){div:has(>.st-key-size_now){display:none}}"
        "@media(max-width:640px){div:has(>.st-key-size_now){position:sticky;top:3.75rem;z-index:5}}</style>"
        f'<div aria-hidden="true" style="background:{colours.empty};color:{colours.ink};padding:.35rem .6rem;'
        f'border-left:.4rem solid {model.colour};font-variant-numeric:tabular-nums">{escape(text)}</div>'
    )


def _tile_count(count: int) -> str:
    """A count in full as long as it fits a tile."""
    return f"{count:,}" if count < 10**12 else format_number(count)


def _part_pills(comparison: Comparison, models: Sequence[SizedModel]) -> None:
    """The legend: choosing a part lights it up everywhere."""
    present = [part for part in PARTS if any(parameters_by_part(model.shape)[part] for model in models)]
    chosen = comparison.part if comparison.part in present else None
    st.pills(
        "Light up a part",
        present,
        format_func=part_label,
        help="In the bars, the formula and the list of tensors. Pointing at a bar does the same.",
        **controlled("size_part", chosen, lambda part: change_comparison(part=part or ""), "default"),
    )


def _comparison_table(models: Sequence[SizedModel]) -> str:
    teacher_count = parameters(models[0].shape)
    shapes = [model.shape for model in models]
    counts = [parameters_by_part(shape) for shape in shapes]
    rows = [
        [part_label(part), *(f"{count[part]:,}" for count in counts)]
        for part in PARTS
        if any(count[part] for count in counts)
    ]
    bold = len(rows)
    rows.append(["total, stored", *(f"{parameters(shape):,}" for shape in shapes)])
    rows.append(["of the teacher's", *(f"{parameters(shape) / teacher_count:,.1%}" for shape in shapes)])
    rows.append(["compression", *(f"{teacher_count / parameters(shape):,.2f}×" for shape in shapes)])
    rows.append(["executed in a forward pass", *(f"{sum(executed_by_part(shape).values()):,}" for shape in shapes)])
    for precision in PRECISIONS:
        rows.append(
            [f"weights in {precision}", *(format_number(stored_bytes(shape, precision), "B") for shape in shapes)]
        )
    claims = [published_counts(shape) for shape in shapes]
    if any(claims):
        rows.append(["papers say", *(", ".join(one.parameters for one in each) or "–" for each in claims)])
    return html_table(["", *(model.name for model in models)], rows, current_theme(), bold=[bold])


def _export_buttons(models: Sequence[SizedModel]) -> None:
    """Copy, download."""
    st.caption(
        "Executed: shared layers count as often as they run, and a tied decoder again. Weights in bytes: the weights "
        "alone, without quantisation scales. What papers say is cited under Papers."
    )
    pairs = [(model.name, model.shape) for model in models]
    with st.container(horizontal=True):
        with st.container(width=150):
            st.iframe(copy_link_page(current_theme()), height=42, alt="Copy link")
        st.download_button("CSV", to_csv(pairs), "sizes.csv", "text/csv", icon=":material/download:", on_click="ignore")
        st.download_button(
            "JSON", to_json(pairs), "sizes.json", "application/json", icon=":material/download:", on_click="ignore"
        )
