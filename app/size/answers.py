"""The answer of the size page: numbers, bars and a table of the models side by side; and how to keep them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

import streamlit as st

from app.elements.bars import Bar, lighting, part_bars, part_label
from app.elements.buttons import copy_link
from app.elements.tables import table
from app.elements.text import plain
from app.elements.theme import theme
from app.elements.tiles import tile_row
from app.session import caches as state
from app.size import choice as choice
from engine.settings.amounts import format_number
from engine.sizing.comparison import Comparison
from engine.sizing.comparison_export import to_csv, to_json
from engine.sizing.cost import parameters, parameters_by_part
from engine.sizing.footprint import PRECISIONS, executed_by_part, flops, stored_bytes
from engine.sizing.presets import published_counts
from engine.sizing.shape import Shape, ShapeError, nearest_divisors
from engine.sizing.tensors import PARTS

TERM = "size_term"  # the prefix of the formula's containers


@dataclass(frozen=True)
class Model:
    """A configuration whose numbers fit together."""

    name: str
    shape: Shape
    colour: str
    index: int  # in the comparison


def answer(now: Comparison) -> list[Model]:
    """Draws the numbers; the models whose numbers fit together, in their order. Others are explained."""
    _refused()
    colours = theme(state.dark())
    models = []
    for index, one in enumerate(now.configurations):
        try:
            models.append(Model(one.name, one.shape, colours.model(index), index))
        except ShapeError as error:
            _explain(one.name, error, index == now.chosen)
    if models:
        _tiles(now, models)
    return models


def details(now: Comparison, models: Sequence[Model]) -> None:
    """Draws the bars and the table of all models side by side, and the ways to keep them."""
    colours = theme(state.dark())
    bars = [Bar(model.name, model.colour, parameters_by_part(model.shape)) for model in models]
    st.html(part_bars(bars, colours) + lighting(PARTS, now.part, TERM))
    _parts(now, models)
    st.html(_side_by_side(models))
    _keep(models)


def _refused() -> None:
    problems = choice.problems()
    if problems:
        said = " ".join(plain(problem) for problem in problems)
        st.warning(f"Not everything in this link makes sense, and a default stands in its place. {said}")


def _explain(name: str, error: ShapeError, chosen: bool) -> None:
    """Why there is no such model, and what would do."""
    st.error(f"**{plain(name)}:** {plain(str(error))}", icon=":material/rule:")
    if not chosen:
        return
    fields = choice.chosen().fields
    hidden, heads = fields["hidden"], fields["heads"]
    if fields["head_dim"] is None and hidden > 0 and heads > 0 and hidden % heads:
        with st.container(horizontal=True):
            for near in nearest_divisors(hidden, heads):
                st.button(f"Use {near:,} heads", on_click=choice.change_field, args=("heads", near))
            width = hidden - hidden % heads
            if width:
                st.button(f"Use width {width:,}", on_click=choice.change_field, args=("hidden", width))


def _tiles(now: Comparison, models: Sequence[Model]) -> None:
    teacher = models[0]
    this = next((model for model in models if model.index == now.chosen), teacher)
    count, full = parameters(this.shape), parameters(teacher.shape)
    tokens = min(now.tokens, this.shape.positions, teacher.shape.positions)
    work = flops(this.shape, tokens) / flops(teacher.shape, tokens)
    tiles = [
        (plain(this.name), _shortest(count), f"{format_number(stored_bytes(this.shape, 'float32'), 'B')} in float32"),
        (
            plain(teacher.name),
            _shortest(full),
            f"{format_number(stored_bytes(teacher.shape, 'float32'), 'B')} in float32",
        ),
        ("Compression", f"{full / count:,.2f}×", "fewer parameters" if count < full else "of the teacher's"),
        (f"FLOPs, {tokens:,} tokens", f"{work:,.1%}", "of the teacher's"),
    ]
    tile_row(tiles)
    with st.container(key="size_now"):
        st.html(_always_there(this, f"{_shortest(count)} parameters, {full / count:,.2f}×"))


def _always_there(this: Model, said: str) -> str:
    """On a phone, the answer on a line that stays in sight while the controls below it are moved."""
    colours = theme(state.dark())
    return (
        "<style>@media(min-width:641px){div:has(>.st-key-size_now){display:none}}"
        "@media(max-width:640px){div:has(>.st-key-size_now){position:sticky;top:3.75rem;z-index:5}}</style>"
        f'<div aria-hidden="true" style="background:{colours.empty};color:{colours.ink};padding:.35rem .6rem;'
        f'border-left:.4rem solid {this.colour};font-variant-numeric:tabular-nums">{escape(said)}</div>'
    )


def _shortest(count: int) -> str:
    """A count in full as long as it fits a tile."""
    return f"{count:,}" if count < 10**12 else format_number(count)


def _parts(now: Comparison, models: Sequence[Model]) -> None:
    """The legend: choosing a part lights it up everywhere."""
    present = [part for part in PARTS if any(parameters_by_part(model.shape)[part] for model in models)]
    lit = now.part if now.part in present else None
    key = choice.held("size_part", lit)
    st.pills(
        "Light up a part",
        present,
        default=lit,
        format_func=part_label,
        key=key,
        on_change=choice.callback(key, lit, lambda part: choice.change(part=part or "")),
        help="In the bars, the formula and the list of tensors. Pointing at a bar does the same.",
    )


def _side_by_side(models: Sequence[Model]) -> str:
    full = parameters(models[0].shape)
    shapes = [model.shape for model in models]
    counts = [parameters_by_part(shape) for shape in shapes]
    rows = [
        [part_label(part), *(f"{count[part]:,}" for count in counts)]
        for part in PARTS
        if any(count[part] for count in counts)
    ]
    bold = len(rows)
    rows.append(["total, stored", *(f"{parameters(shape):,}" for shape in shapes)])
    rows.append(["of the teacher's", *(f"{parameters(shape) / full:,.1%}" for shape in shapes)])
    rows.append(["compression", *(f"{full / parameters(shape):,.2f}×" for shape in shapes)])
    rows.append(["executed in a forward pass", *(f"{sum(executed_by_part(shape).values()):,}" for shape in shapes)])
    for precision in PRECISIONS:
        rows.append(
            [f"weights in {precision}", *(format_number(stored_bytes(shape, precision), "B") for shape in shapes)]
        )
    said = [published_counts(shape) for shape in shapes]
    if any(said):
        rows.append(["papers say", *(", ".join(one.parameters for one in each) or "–" for each in said)])
    return table(["", *(model.name for model in models)], rows, theme(state.dark()), bold=[bold])


def _keep(models: Sequence[Model]) -> None:
    """Copy, download."""
    st.caption(
        "Executed: shared layers count as often as they run, and a tied decoder again. Weights in bytes: the weights "
        "alone, without quantisation scales. What papers say is cited under Papers."
    )
    pairs = [(model.name, model.shape) for model in models]
    with st.container(horizontal=True):
        with st.container(width=150):
            st.iframe(copy_link(theme(state.dark())), height=42, alt="Copy link")
        st.download_button("CSV", to_csv(pairs), "sizes.csv", "text/csv", icon=":material/download:", on_click="ignore")
        st.download_button(
            "JSON", to_json(pairs), "sizes.json", "application/json", icon=":material/download:", on_click="ignore"
        )
