"""The question backwards: shapes for a budget, and the edge of what is possible."""

from __future__ import annotations

from functools import partial

import streamlit as st

from app.elements.figure import shown
from app.elements.tables import table
from app.elements.text import plain
from app.elements.theme import theme
from app.session import caches as state
from app.size import choice as choice
from app.size.answers import Model
from app.size.charts import front_chart
from app.size.cost import _device
from engine.settings import amounts as amount
from engine.sizing.comparison import Comparison, editable_fields
from engine.sizing.footprint import PRECISIONS
from engine.sizing.roofline import DEVICE_LABELS
from engine.sizing.shape import Shape
from engine.sizing.solver import KEEPABLE_FIELDS, SizeBudget, Solution, find_shapes, widest_by_depth

KINDS = {
    "parameters": "Parameters",
    "bytes": "Bytes",
    "flops": "FLOPs a sequence",
    "latency": "Time a sequence, at least",
}
EXAMPLES = {"parameters": "11M", "bytes": "110 MB", "flops": "5G", "latency": "50 us"}


def backwards(now: Comparison, this: Model, base: Model) -> None:
    """Controls, the shapes that were found, and a chart of depth against width. What is kept is kept from `base`."""
    budget = _budget(now, base)
    if budget is None:
        return
    try:
        found = find_shapes(base.shape, budget, now.keep, most=8)
    except ValueError as error:
        st.warning(plain(str(error)), icon=":material/rule:")
        return
    st.caption(
        f"What is kept is kept from {plain(base.name)}. Closest first, in whole hundredths of the budget; of equally "
        f"close ones the shape most like {plain(base.name)}. Use gives it to {plain(this.name)}, the model that the "
        "controls change."
    )
    for index, one in enumerate(found):
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Use",
                key=f"size_use_{index}",
                on_click=partial(choice.change_chosen, fields=editable_fields(one.shape)),
                help=f"Gives {plain(this.name)} this shape.",
            )
            st.markdown(f"**{_size(one.shape)}** {_rest(base.shape, one.shape)}  \n{_cost(one, budget)}")
    edge = widest_by_depth(base.shape, budget, now.keep)
    if not edge:
        return
    st.markdown("##### The widest at each depth")
    colours = theme(state.dark())
    shown(
        front_chart(edge, found, this.shape, this.colour, colours),
        key="size_front",
        alt="The widest model within the budget for each number of layers; the table below has the numbers",
    )
    with st.expander("The same as a table"):
        rows = [[f"{one.shape.layers} layers", f"{one.shape.hidden:,}", _amount(one.cost, budget)] for one in edge]
        st.html(table(["", "widest", "costs"], rows, colours))


def _budget(now: Comparison, base: Model) -> SizeBudget | None:
    """The budget that the controls say, or None with the reason on the page."""
    key = choice.held("size_budget_of", now.budget_of)
    st.segmented_control(
        "A budget of",
        list(KINDS),
        default=now.budget_of,
        required=True,
        format_func=lambda kind: KINDS[kind],
        key=key,
        on_change=choice.callback(
            key, now.budget_of, lambda kind: choice.change(budget_of=kind, budget=EXAMPLES[kind])
        ),
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        key = choice.held("size_budget", now.budget)
        st.text_input(
            "Budget",
            now.budget,
            40,
            key=key,
            width=160,
            help="A number with a unit: 55M, 110 MB, 5G, 50 us.",
            on_change=choice.callback(key, now.budget, lambda text: choice.change(budget=text.strip())),
        )
        if now.budget_of in ("bytes", "latency"):
            key = choice.held("size_budget_precision", now.run_precision)
            st.selectbox(
                "Weights in",
                list(PRECISIONS),
                list(PRECISIONS).index(now.run_precision),
                key=key,
                width=160,
                on_change=choice.callback(key, now.run_precision, lambda kind: choice.change(run_precision=kind)),
            )
        if now.budget_of == "latency":
            key = choice.held("size_budget_device", now.device)
            st.selectbox(
                "Device",
                list(DEVICE_LABELS),
                list(DEVICE_LABELS).index(now.device),
                format_func=lambda name: DEVICE_LABELS[name],
                key=key,
                width=260,
                on_change=choice.callback(key, now.device, lambda name: choice.change(device=name)),
            )
    kept = [name for name in KEEPABLE_FIELDS if name in now.keep]
    key = choice.held("size_keep", kept)
    st.pills(
        "Keep as it is",
        list(KEEPABLE_FIELDS),
        default=kept,
        selection_mode="multi",
        format_func=lambda name: KEEPABLE_FIELDS[name],
        key=key,
        on_change=choice.callback(
            key, kept, lambda names: choice.change(keep=tuple(n for n in KEEPABLE_FIELDS if n in names))
        ),
        help="Everything else may change.",
    )
    device = _device(now.device) if now.budget_of == "latency" else None
    if now.budget_of == "latency" and device is None:
        unmeasured = now.device == "here"
        st.info("Measure this machine under Run and train first." if unmeasured else "Choose a device.")
        return None
    try:
        wanted = amount.parse_amount(now.budget, now.budget_of)
        tokens = min(now.tokens, base.shape.positions)
        return SizeBudget(now.budget_of, wanted, now.run_precision, tokens, device)
    except ValueError as error:
        st.warning(plain(str(error)), icon=":material/rule:")
        return None


def _size(shape: Shape) -> str:
    return f"{shape.layers} × {shape.hidden:,}"


def _rest(base: Shape, shape: Shape) -> str:
    pieces = [f"{shape.heads:,} heads × {shape.head_dim:,}", f"FFN {shape.ffn:,}"]
    if shape.embedding != shape.hidden:
        pieces.append(f"E {shape.embedding:,}")
    if shape.vocab != base.vocab:
        pieces.append(f"V {shape.vocab:,}")
    return ", ".join(pieces)


def _cost(one: Solution, budget: SizeBudget) -> str:
    sign = "+" if one.relative_error >= 0 else "−"
    return f":gray[{_amount(one.cost, budget)}, {sign}{abs(one.relative_error):.1%}]"


def _amount(cost: float, budget: SizeBudget) -> str:
    if budget.kind == "latency":
        return f"at least {amount.format_duration(cost)}"
    if budget.kind == "parameters":
        return f"{round(cost):,} parameters"
    return amount.format_number(cost, "B" if budget.kind == "bytes" else "FLOP")
