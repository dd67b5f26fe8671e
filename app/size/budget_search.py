"""The question backwards: shapes for a budget, and the edge of what is possible."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

import streamlit as st

from app.elements.figure import show_figure
from app.elements.tables import html_table
from app.elements.text import escape_markdown
from app.session.browser import current_theme
from app.size.answers import SizedModel
from app.size.charts import frontier_chart
from app.size.comparison_state import change_chosen, change_comparison, controlled, controlled_choice
from app.size.cost import roofline_card
from engine.settings import amounts
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


def show_budget_search(comparison: Comparison, chosen: SizedModel, base: SizedModel) -> None:
    """Controls, the shapes that were found, and a chart of depth against width. What is kept is kept from `base`."""
    budget = _budget_controls(comparison, base)
    if budget is None:
        return
    try:
        found = find_shapes(base.shape, budget, comparison.keep, most=8)
    except ValueError as error:
        st.warning(escape_markdown(str(error)), icon=":material/rule:")
        return
    origin, changed = escape_markdown(base.name), escape_markdown(chosen.name)
    st.caption(
        f"What is kept is kept from {origin}. Closest first, in whole hundredths of the budget; of equally close ones "
        f"the shape most like {origin}. Use gives it to {changed}, the model that the controls change."
    )
    for candidate in found:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.button(
                "Use",
                key=_use_key(candidate.shape),
                on_click=partial(change_chosen, fields=editable_fields(candidate.shape)),
                help=f"Gives {changed} this shape.",
            )
            details = _details_text(base.shape, candidate.shape)
            st.markdown(f"**{_size_text(candidate.shape)}** {details}  \n{_cost_text(candidate, budget)}")
    frontier = widest_by_depth(base.shape, budget, comparison.keep)
    if not frontier:
        return
    st.markdown("##### The widest at each depth")
    colours = current_theme()
    show_figure(
        frontier_chart(frontier, found, chosen.shape, chosen.colour, colours),
        key="size_front",
        alt="The widest model within the budget for each number of layers; the table below has the numbers",
    )
    with st.expander("The same as a table"):
        rows = [
            [f"{candidate.shape.layers} layers", f"{candidate.shape.hidden:,}", _amount_text(candidate.cost, budget)]
            for candidate in frontier
        ]
        st.html(html_table(["", "widest", "costs"], rows, colours))


def _use_key(shape: Shape) -> str:
    """The shape, not its place in the list: a press means what stood there, whatever stands there by now."""
    return f"size_use_{'_'.join(str(value) for value in editable_fields(shape).values())}"


def _budget_controls(comparison: Comparison, base: SizedModel) -> SizeBudget | None:
    """The budget that the controls say, or None with the reason on the page."""
    _draw_budget_controls(comparison)
    device = roofline_card(comparison.device) if comparison.budget_of == "latency" else None
    if comparison.budget_of == "latency" and device is None:
        unmeasured = comparison.device == "here"
        st.info("Measure this machine under Run and train first." if unmeasured else "Choose a device.")
        return None
    try:
        wanted = amounts.parse_amount(comparison.budget, comparison.budget_of)
        tokens = min(comparison.tokens, base.shape.positions)
        return SizeBudget(comparison.budget_of, wanted, comparison.run_precision, tokens, device)
    except ValueError as error:
        st.warning(escape_markdown(str(error)), icon=":material/rule:")
        return None


def _draw_budget_controls(comparison: Comparison) -> None:
    def change_kind(kind: str) -> None:
        change_comparison(budget_of=kind, budget=EXAMPLES[kind])

    def change_kept(names: Sequence[str]) -> None:
        change_comparison(keep=tuple(name for name in KEEPABLE_FIELDS if name in names))

    st.segmented_control(
        "A budget of",
        list(KINDS),
        required=True,
        format_func=lambda kind: KINDS[kind],
        **controlled("size_budget_of", comparison.budget_of, change_kind, "default"),
    )
    with st.container(horizontal=True, vertical_alignment="bottom"):
        st.text_input(
            "Budget",
            max_chars=40,
            width=160,
            help="A number with a unit: 55M, 110 MB, 5G, 50 us.",
            **controlled("size_budget", comparison.budget, lambda text: change_comparison(budget=text.strip())),
        )
        if comparison.budget_of in ("bytes", "latency"):
            precisions, precision = list(PRECISIONS), comparison.run_precision
            st.selectbox(
                "Weights in",
                width=160,
                **controlled_choice(
                    "size_budget_precision", precisions, precision, lambda kind: change_comparison(run_precision=kind)
                ),
            )
        if comparison.budget_of == "latency":
            st.selectbox(
                "Device",
                format_func=lambda name: DEVICE_LABELS[name],
                width=260,
                **controlled_choice(
                    "size_budget_device",
                    list(DEVICE_LABELS),
                    comparison.device,
                    lambda name: change_comparison(device=name),
                ),
            )
    st.pills(
        "Keep as it is",
        list(KEEPABLE_FIELDS),
        selection_mode="multi",
        format_func=lambda name: KEEPABLE_FIELDS[name],
        help="Everything else may change.",
        **controlled(
            "size_keep", [name for name in KEEPABLE_FIELDS if name in comparison.keep], change_kept, "default"
        ),
    )


def _size_text(shape: Shape) -> str:
    return f"{shape.layers} × {shape.hidden:,}"


def _details_text(base: Shape, shape: Shape) -> str:
    pieces = [f"{shape.heads:,} heads × {shape.head_dim:,}", f"FFN {shape.ffn:,}"]
    if shape.embedding != shape.hidden:
        pieces.append(f"E {shape.embedding:,}")
    if shape.vocab != base.vocab:
        pieces.append(f"V {shape.vocab:,}")
    return ", ".join(pieces)


def _cost_text(candidate: Solution, budget: SizeBudget) -> str:
    sign = "+" if candidate.relative_error >= 0 else "−"
    return f":gray[{_amount_text(candidate.cost, budget)}, {sign}{abs(candidate.relative_error):.1%}]"


def _amount_text(cost: float, budget: SizeBudget) -> str:
    if budget.kind == "latency":
        return f"at least {amounts.format_duration(cost)}"
    if budget.kind == "parameters":
        return f"{round(cost):,} parameters"
    return amounts.format_number(cost, "B" if budget.kind == "bytes" else "FLOP")
